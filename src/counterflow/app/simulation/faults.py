"""Everything that goes wrong: each fault is one function on the universe, drawn by weight from one table."""

from collections.abc import Callable
from typing import Final

from counterflow.app.simulation import lies
from counterflow.app.simulation.seat import Seat
from counterflow.app.simulation.universe import SETTLE_S, Universe

Fault = Callable[[Universe, Seat], None]


def inject(universe: Universe) -> None:
    """One fault now, somewhere, and the next one later."""
    if universe.peace:
        return
    random = universe.random
    name = random.choices(NAMES, WEIGHTS)[0]
    seat = random.choice(universe.seats)
    universe.trace.note(universe.now_s, seat.name, f"FAULT {name}")
    universe.trace.counts[name] += 1
    seat.touched(universe.now_s + SETTLE_S)
    FAULTS[name][1](universe, seat)
    universe.at(universe.now_s + random.expovariate(1.0 / universe.settings.fault_every_s), inject, universe)


# --- lines -------------------------------------------------------------------------------------------------------------------


def _cut(universe: Universe, seat: Seat) -> None:
    if seat.link is not None:
        universe.cut(seat.link, "cut")


def _long_cut(universe: Universe, seat: Seat) -> None:
    seat.off_until_s = universe.now_s + universe.random.uniform(30.0, 150.0)
    seat.touched(seat.off_until_s + SETTLE_S)
    _cut(universe, seat)


def _half_open_at_server(universe: Universe, seat: Seat) -> None:
    """The station's side is gone; the server believes in the line until its ping has no answer or the station is back."""
    link = seat.link
    if link is not None:
        after_s = universe.random.uniform(5.0, 60.0)
        seat.touched(universe.now_s + after_s + SETTLE_S)
        link.black_hole = True
        universe.station_loses(link, "half-open at the server")
        universe.at(universe.now_s + after_s, universe.server_loses, link, "no pong")


def _half_open_at_station(universe: Universe, seat: Seat) -> None:
    """The server's side is gone; the station talks into nothing until it notices."""
    link = seat.link
    if link is not None:
        after_s = universe.random.uniform(5.0, 60.0)
        seat.touched(universe.now_s + after_s + SETTLE_S)
        link.black_hole = True
        universe.server_loses(link, "half-open at the station")
        universe.at(universe.now_s + after_s, universe.station_loses, link, "no pong")


def _black_hole(universe: Universe, seat: Seat) -> None:
    """Nothing passes and nobody knows."""
    link = seat.link
    if link is not None:
        link.black_hole = True
        for lose in (universe.station_loses, universe.server_loses):
            after_s = universe.random.uniform(5.0, 60.0)
            seat.touched(universe.now_s + after_s + SETTLE_S)
            universe.at(universe.now_s + after_s, lose, link, "no pong")


def _stall(universe: Universe, seat: Seat) -> None:
    """TCP repeats itself: everything arrives, late."""
    if seat.link is not None:
        seat.link.stalled_until_s = universe.now_s + universe.random.uniform(2.0, 45.0)
        seat.touched(seat.link.stalled_until_s + SETTLE_S)


def _impostor(universe: Universe, seat: Seat) -> None:
    """Something else connects under the station's identity and says nothing."""
    if universe.server.alive:
        link = universe.new_link(seat, impostor=True)
        universe.server.opened(link)
        after_s = universe.random.uniform(1.0, 30.0)
        seat.touched(universe.now_s + after_s + SETTLE_S)
        universe.at(universe.now_s + after_s, universe.server_loses, link, "the impostor leaves")


def _answer_lost(universe: Universe, seat: Seat) -> None:
    seat.swallow_answers += universe.random.randint(1, 3)
    seat.touched(universe.now_s + 100.0)


def _late_answer(universe: Universe, seat: Seat) -> None:
    seat.late_answers += universe.random.randint(1, 2)
    seat.touched(universe.now_s + 100.0)


def _call_lost(universe: Universe, seat: Seat) -> None:
    seat.swallow_calls += universe.random.randint(1, 3)
    seat.touched(universe.now_s + 100.0)


def _repeat(universe: Universe, seat: Seat) -> None:
    seat.repeat_events += universe.random.randint(1, 4)


def _out_of_order(universe: Universe, seat: Seat) -> None:
    """A station that was away tells what happened meanwhile in any order (TCP keeps the order of one line, queues in stations may not)."""
    seat.shuffles_queue = True
    _long_cut(universe, seat)


# --- stations ----------------------------------------------------------------------------------------------------------------


def _reboot(universe: Universe, seat: Seat) -> None:
    random = universe.random
    seat.off_until_s = universe.now_s + random.uniform(4.0, 40.0)
    seat.touched(seat.off_until_s + SETTLE_S)
    local_s = seat.local_s(universe.now_s)
    seat.station.power_cycle(
        local_s, keeps_profiles=random.random() < 0.5, keeps_transaction=random.random() < 0.6, keeps_queue=random.random() < 0.7
    )
    link = seat.link
    if link is not None:
        if random.random() < 0.5:
            universe.cut(link, "reboot")
        else:
            link.black_hole = True
            universe.station_loses(link, "reboot")
            universe.at(universe.now_s + random.uniform(20.0, 60.0), universe.server_loses, link, "no pong")


def _clock_jump(universe: Universe, seat: Seat) -> None:
    seat.set_clock(universe.random.uniform(-40.0, 40.0))
    right_s = universe.now_s + universe.random.uniform(20.0, 90.0)
    seat.touched(right_s + SETTLE_S)
    universe.at(right_s, _clock_right, seat)


def _clock_right(seat: Seat) -> None:
    seat.set_clock(0.0)


def _lie(universe: Universe, seat: Seat) -> None:
    evse = seat.station.state.first_evse
    kind = universe.random.choice(("frozen", "wrong sign", "spikes"))
    match kind:
        case "frozen":
            evse.lie = lies.frozen()
        case "wrong sign":
            evse.lie = lies.wrong_sign()
        case _:
            evse.lie = lies.spikes(universe.random)
    seat.has_lied = seat.lies = True
    universe.trace.note(universe.now_s, seat.name, f"its meter: {kind}")
    honest_s = universe.now_s + universe.random.uniform(20.0, 120.0)
    seat.touched(honest_s + SETTLE_S)
    universe.at(honest_s, _honest, seat)


def _honest(seat: Seat) -> None:
    seat.station.state.first_evse.lie = None


def _register_reset(_universe: Universe, seat: Seat) -> None:
    evse = seat.station.state.first_evse
    import_wh, export_wh = evse.plant.registers_wh(evse.row)
    evse.lie = lies.register_reset(import_wh, export_wh)
    seat.lies = True


def _leave(universe: Universe, seat: Seat) -> None:
    seat.station.unplug(seat.local_s(universe.now_s))
    seat.has_lied = False
    universe.flush(seat)
    universe.at(universe.now_s + universe.random.uniform(10.0, 120.0), _arrive, universe, seat)


def _leave_silently(universe: Universe, seat: Seat) -> None:
    seat.station.go_silent(seat.local_s(universe.now_s))
    universe.at(universe.now_s + universe.random.uniform(60.0, 200.0), _arrive, universe, seat)


def _arrive(universe: Universe, seat: Seat) -> None:
    if universe.now_s >= seat.off_until_s:
        seat.station.plug_in(seat.local_s(universe.now_s))
        universe.flush(seat)


# --- the server --------------------------------------------------------------------------------------------------------------


def _crash_at_write(universe: Universe, _seat: Seat) -> None:
    universe.server.disk.kill_after = universe.random.randint(0, 30)


def _crash_before_commit(universe: Universe, _seat: Seat) -> None:
    universe.server.kill_at_commit = "before"


def _crash_after_commit(universe: Universe, _seat: Seat) -> None:
    universe.server.kill_at_commit = "after"


def _locked(universe: Universe, _seat: Seat) -> None:
    _no_writes(universe, "database is locked", universe.random.uniform(0.5, 12.0))


def _full(universe: Universe, _seat: Seat) -> None:
    _no_writes(universe, "database or disk is full", universe.random.uniform(10.0, 60.0))


def _no_writes(universe: Universe, why: str, for_s: float) -> None:
    disk = universe.server.disk
    if disk.trouble:
        return
    disk.trouble = why
    universe.trouble_for_all(universe.now_s + for_s + SETTLE_S)
    universe.at(universe.now_s + for_s, _writes_again, universe)


def _writes_again(universe: Universe) -> None:
    universe.server.disk.trouble = ""
    universe.trace.note(universe.now_s, "disk", "takes writes again")
    universe.server.commit(universe.server.lives)


def _server_clock(universe: Universe, _seat: Seat) -> None:
    """The machine's clock is set, forward or back, and set right later."""
    by_s = universe.random.uniform(-90.0, 60.0)
    _set_wall(universe, by_s)
    universe.at(universe.now_s + universe.random.uniform(10.0, 60.0), _set_wall, universe, 0.0)


def _set_wall(universe: Universe, ahead_s: float) -> None:
    universe.server.wall_ahead_s = ahead_s
    universe.watch.clock_set_s = universe.now_s
    universe.trouble_for_all(universe.now_s + SETTLE_S)
    universe.server_moved()


FAULTS: Final[dict[str, tuple[float, Fault]]] = {
    "line cut": (6.0, _cut),
    "line cut for long": (2.0, _long_cut),
    "half-open at the server": (4.0, _half_open_at_server),
    "half-open at the station": (4.0, _half_open_at_station),
    "black hole": (3.0, _black_hole),
    "stall": (4.0, _stall),
    "second line of one identity": (3.0, _impostor),
    "answers lost": (4.0, _answer_lost),
    "answers too late": (4.0, _late_answer),
    "calls lost": (3.0, _call_lost),
    "events repeated": (3.0, _repeat),
    "events out of order": (2.0, _out_of_order),
    "reboot": (6.0, _reboot),
    "station clock set": (3.0, _clock_jump),
    "meter lies": (3.0, _lie),
    "registers reset": (1.5, _register_reset),
    "car leaves": (3.0, _leave),
    "car leaves without a word": (2.0, _leave_silently),
    "crash between two writes": (3.0, _crash_at_write),
    "crash before a commit": (1.0, _crash_before_commit),
    "crash after a commit": (1.0, _crash_after_commit),
    "database locked": (1.5, _locked),
    "database full": (1.0, _full),
    "server clock set": (1.0, _server_clock),
}
NAMES: Final = tuple(FAULTS)
WEIGHTS: Final = tuple(weight for weight, _ in FAULTS.values())
