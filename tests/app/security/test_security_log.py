"""Security events are durable, counted when they repeat, and bounded per station."""

from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.app.security.security_log import KEPT_PER_STATION, LONGEST_TEXT, REPEAT_S, SecurityLog
from counterflow.domain.ids import StationId
from counterflow.domain.records import DocumentKind

CS1, CS2 = StationId("CS1"), StationId("CS2")


def stored(journal: MemoryJournal) -> list[tuple[str, int]]:
    return [(record.text, record.count) for _, record in journal.documents(DocumentKind.SECURITY)]


def test_a_repetition_is_counted_and_written_now_and_then() -> None:
    journal = MemoryJournal()
    log = SecurityLog(journal)
    for second in range(25):
        log.note(CS1, "server", "refused", "password wrong", 1000.0 + second)
    assert [(record.count, record.at_s, record.last_at_s) for record in log.of(CS1, 10)] == [(25, 1000.0, 1024.0)]
    assert stored(journal) == [("password wrong", 21)]
    log.note(CS1, "server", "refused", "password wrong", 1000.0 + REPEAT_S)
    assert [record.count for record in log.of(CS1, 10)] == [1, 25]


def test_it_is_known_again_after_a_restart_and_numbers_go_on() -> None:
    journal = MemoryJournal()
    log = SecurityLog(journal)
    log.note(CS1, "station", "security event", "TamperDetectionActivated", 1000.0, said_at_s=990.0)
    log.note(CS2, "server", "refused", "password wrong", 1001.0)
    again = SecurityLog(journal)
    again.restore()
    assert again.newest(10) == log.newest(10)
    again.note(CS1, "server", "refused", "another", 1002.0)
    assert len(list(journal.documents(DocumentKind.SECURITY))) == 3
    assert again.of(CS1, 1)[0].text == "another"


def test_one_station_keeps_so_many_and_pushes_out_nobody_else() -> None:
    journal = MemoryJournal()
    log = SecurityLog(journal)
    log.note(CS2, "server", "refused", "password wrong", 999.0)
    for number in range(3 * KEPT_PER_STATION):
        log.note(CS1, "station", "security event", f"{number} " + "x" * 1000, 1000.0 + number)
    assert len(log.of(CS1, 1000)) == KEPT_PER_STATION
    assert all(len(record.text) == LONGEST_TEXT for record in log.of(CS1, 1000))
    assert len(log.of(CS2, 1000)) == 1
    assert len(stored(journal)) == KEPT_PER_STATION + 1
    log.forget(CS1)
    assert [text for text, _ in stored(journal)] == ["password wrong"]
