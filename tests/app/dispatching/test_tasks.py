"""The book of a process that runs for months: what has ended costs nothing, and what is not kept any longer leaves nothing behind."""

from typing import Any

import msgspec

from counterflow.app.dispatching.tasks import Book
from counterflow.domain.ids import DispatchId, SessionUid
from counterflow.domain.instructions import DispatchInstruction, DispatchState


def instruction(name: str, state: DispatchState) -> DispatchInstruction:
    fields: dict[str, Any] = {"dispatch_id": name, "start_s": 0.0, "end_s": 60.0, "steps": (), "pool": "all", "policy": "hybrid"}
    fields |= {"mode": "net_export", "priority": 0, "accepted_at_s": 0.0, "state": state.value, "idempotency_key": f"key of {name}"}
    return msgspec.convert(fields, DispatchInstruction)


def names(book: Book, *states: DispatchState) -> list[str]:
    return [one.dispatch_id for one in book.in_state(*states)]


def test_a_dispatch_is_found_by_its_newest_state_only() -> None:
    book = Book()
    for name in ("a", "b"):
        book.keep(instruction(name, DispatchState.SCHEDULED))
    book.keep(instruction("a", DispatchState.RUNNING))
    assert names(book, DispatchState.SCHEDULED) == ["b"]
    assert names(book, DispatchState.RUNNING, DispatchState.SCHEDULED) == ["a", "b"]
    book.keep(instruction("a", DispatchState.COMPLETED))
    assert names(book, *DispatchState) == ["b"]
    assert set(book.instructions) == {"a", "b"}


def test_looking_for_open_dispatches_does_not_look_at_those_that_ended() -> None:
    book = Book()
    for number in range(1_000):
        book.keep(instruction(f"d{number}", DispatchState.COMPLETED))

    class Untouched(dict[DispatchId, DispatchInstruction]):
        def values(self) -> Any:
            raise AssertionError("all that ever was is looked at")

    book.instructions = Untouched(book.instructions)
    assert names(book, DispatchState.RUNNING) == []


def test_what_is_forgotten_leaves_only_its_drop_outs_in_the_sum() -> None:
    book = Book()
    for name in ("a", "b"):
        book.keep(instruction(name, DispatchState.COMPLETED))
        book.past_drop_outs[DispatchId(name)] = 3
    book.forget(DispatchId("a"))
    book.forget(DispatchId("never heard of"))
    assert (set(book.instructions), set(book.by_key), set(book.past_drop_outs)) == ({"b"}, {"key of b"}, {"b"})
    assert book.drop_outs == 6


def test_a_task_that_opens_holds_its_members_and_takes_them_from_their_former_dispatch() -> None:
    book = Book()
    one = book.open(instruction("a", DispatchState.RUNNING), {SessionUid(1), SessionUid(2)})
    two = book.open(instruction("b", DispatchState.RUNNING), {SessionUid(2)})
    assert (one.members, two.members) == ({1}, {2})
    assert (one.ever, two.ever) == ({1, 2}, {2})
    assert book.owner == {1: "a", 2: "b"}
