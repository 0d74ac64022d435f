"""Tokens and the audit log in the journal: known again after a restart, gone when their days are over."""

from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.app.security.access import SHOWN, AccessBook
from counterflow.domain.access import ApiToken, AuditEntry
from counterflow.domain.records import DocumentKind

DAY_S = 86_400.0
T0 = 1_800_000_000.0


def token(name: str, expires_at_s: float | None = None) -> ApiToken:
    return ApiToken(name=name, role="grid", digest="ab" * 32, added_at_s=T0, added_by="api:first", expires_at_s=expires_at_s)


def entry(at_s: float, action: str = "POST /x") -> AuditEntry:
    return AuditEntry(at_s=at_s, who="api:tso", role="grid", action=action, status=201)


def test_tokens_are_known_again_and_void_ones_are_not_live() -> None:
    journal = MemoryJournal()
    book = AccessBook(journal, 400)
    book.keep(token("tso"))
    book.keep(token("guest", T0 + 10.0))
    again = AccessBook(journal, 400)
    again.restore()
    assert [one.name for one in again.tokens()] == ["guest", "tso"]
    assert {one.name for one in again.live(T0 + 9.0)} == {"guest", "tso"}
    assert {one.name for one in again.live(T0 + 10.0)} == {"tso"}
    assert again.revoke("tso") is not None
    assert again.revoke("tso") is None
    assert list(journal.documents(DocumentKind.API_TOKEN)) == [("guest", token("guest", T0 + 10.0))]


def test_entries_come_newest_first_and_from_an_instant_on() -> None:
    book = AccessBook(MemoryJournal(), 400)
    for second in range(5):
        book.record(entry(T0 + second, str(second)))
    assert [one.action for one in book.entries(T0 + 1.0, 3)] == ["4", "3", "2"]
    assert [one.action for one in book.entries(T0 + 4.0, 3)] == ["4"]


def test_entries_are_known_again_in_their_order_and_dropped_when_their_days_are_over() -> None:
    journal = MemoryJournal()
    book = AccessBook(journal, 2)
    for number in range(3):
        book.record(entry(T0, str(number)))
    again = AccessBook(journal, 2)
    again.restore()
    assert [one.action for one in again.entries(0.0, 9)] == ["2", "1", "0"]
    again.record(entry(T0 + 2.0 * DAY_S + 1.0, "late"))
    assert [document.action for _, document in journal.documents(DocumentKind.AUDIT)] == ["late"]


def test_memory_is_bounded_and_nothing_is_dropped_where_days_are_for_ever() -> None:
    journal = MemoryJournal()
    book = AccessBook(journal, 0)
    for number in range(SHOWN + 10):
        book.record(entry(T0 + number * DAY_S))
    assert len(book.entries(0.0, 10 * SHOWN)) == SHOWN
    assert len(list(journal.documents(DocumentKind.AUDIT))) == SHOWN + 10
