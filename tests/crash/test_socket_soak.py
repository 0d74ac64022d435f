"""Real sockets, a server that is killed, lines that break: in the end ledger and stations are equal (`counterflow soak --sockets`)."""

from counterflow.app.simulation.sockets import soak_sockets


def test_a_small_soak_over_sockets_ends_with_ledger_and_stations_equal() -> None:
    result = soak_sockets(100, 9.0, seed=7)
    assert result.faults["kill -9 of the server"] >= 1
    assert result.faults["order"] >= 1
    assert result.stray == (), "held by stations, and not in the journal as the crash left it"
    assert (result.in_ledger, result.at_stations) == ((), ())
    assert result.violations == ()
    assert result.connected == result.stations
