"""Numbers of OCPP 1.6 transactions: durable, unique, and the same for a start that is sent again."""

from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.app.stations.transaction_numbers import EPOCH_2024_S, TransactionNumbers
from counterflow.domain.ids import EvseId, StationId
from counterflow.domain.records import DocumentKind

NOW_S = EPOCH_2024_S + 1000.0
ONE = EvseId(1)


def numbers(journal: MemoryJournal) -> TransactionNumbers:
    found = TransactionNumbers(journal)
    found.restore()
    return found


def test_every_start_has_a_number_of_its_own_and_a_repeated_one_the_same() -> None:
    given = numbers(MemoryJournal())
    first = given.number_for(StationId("A"), ONE, 1.0, 0, NOW_S)
    assert given.number_for(StationId("A"), ONE, 1.0, 0, NOW_S + 30) == first
    others = [given.number_for(StationId("A"), EvseId(evse), 1.0, 0, NOW_S) for evse in (2, 3)]
    others += [given.number_for(StationId("B"), ONE, 1.0, 0, NOW_S), given.number_for(StationId("A"), ONE, 2.0, 0, NOW_S)]
    assert len({first, *others}) == 5


def test_numbers_go_on_after_a_restart_also_when_the_clock_went_back() -> None:
    journal = MemoryJournal()
    first = numbers(journal).number_for(StationId("A"), ONE, 1.0, 0, NOW_S)
    again = numbers(journal)
    assert again.number_for(StationId("A"), ONE, 1.0, 0, NOW_S + 5) == first
    assert again.number_for(StationId("A"), ONE, 9.0, 0, NOW_S - 500) == first + 1


def test_numbers_are_new_ones_even_for_a_server_that_has_lost_its_memory() -> None:
    first = numbers(MemoryJournal()).number_for(StationId("A"), ONE, 1.0, 0, NOW_S)
    assert numbers(MemoryJournal()).number_for(StationId("A"), ONE, 2.0, 0, NOW_S + 2) > first


def test_a_station_that_is_forgotten_leaves_nothing_and_its_numbers_are_not_given_again() -> None:
    journal = MemoryJournal()
    given = numbers(journal)
    first = given.number_for(StationId("A"), ONE, 1.0, 0, NOW_S)
    kept = given.number_for(StationId("AB"), ONE, 1.0, 0, NOW_S)
    given.forget(StationId("A"))
    assert [record.number for _, record in journal.documents(DocumentKind.TRANSACTION_NUMBER)] == [kept]
    assert given.number_for(StationId("A"), ONE, 1.0, 0, NOW_S) not in (first, kept)
