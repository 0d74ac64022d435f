"""The event stream inside the process: numbered, bounded, and a reader that was away goes on where it was."""

import asyncio

from counterflow.app.observing.notices import DEPTH, NoticeBoard
from counterflow.domain.views import Notice


def notice(number: int) -> Notice:
    return Notice(at_s=float(number), kind="dispatch.state", subject="d-1", text="", values={"number": number})


async def take(board: NoticeBoard, count: int, after: str | None = None) -> list[Notice]:
    stream = board.listen(after)
    return [await asyncio.wait_for(anext(stream), 60.0) for _ in range(count)]


async def turns() -> None:
    """Whoever was started has come to where it waits."""
    for _ in range(5):
        await asyncio.sleep(0.0)


def published(count: int, life: str = "a") -> NoticeBoard:
    board = NoticeBoard(life)
    for number in range(1, count + 1):
        board.publish(notice(number))
    return board


def test_a_reader_goes_on_behind_what_it_has_read() -> None:
    read = asyncio.run(take(published(5), 2, "a-3"))
    assert [(one.id, one.values["number"]) for one in read] == [("a-4", 4), ("a-5", 5)]


def test_a_new_reader_gets_what_comes_and_nothing_old() -> None:
    async def story() -> list[Notice]:
        board = published(3)
        reading = asyncio.create_task(take(board, 1))
        await turns()
        board.publish(notice(4))
        return await reading

    assert [one.id for one in asyncio.run(story())] == ["a-4"]


def test_what_is_not_kept_any_more_is_said_to_be_lost() -> None:
    lost, first = asyncio.run(take(published(DEPTH + 10), 2, "a-4"))
    assert (lost.kind, lost.values, lost.id) == ("lost", {"lost": 6}, "")
    assert first.id == "a-11"


def test_a_number_of_an_earlier_life_means_nothing_here() -> None:
    for stranger in ("b-2", "nonsense", "a-", "a-²"):
        lost, first = asyncio.run(take(published(3), 2, stranger))
        assert (lost.kind, lost.values) == ("lost", {"lost": None})
        assert first.id == "a-1"


def test_a_number_that_is_still_to_come_waits_for_what_comes() -> None:
    async def story() -> list[Notice]:
        board = published(3)
        reading = asyncio.create_task(take(board, 1, "a-9"))
        await turns()
        board.publish(notice(4))
        return await reading

    assert [one.id for one in asyncio.run(story())] == ["a-4"]


def test_a_slow_reader_loses_the_oldest_and_is_told() -> None:
    async def story() -> list[Notice]:
        board = NoticeBoard("a")
        stream = board.listen()
        first = asyncio.create_task(anext(stream))  # type: ignore[arg-type]
        await asyncio.sleep(0.0)
        for number in range(1, DEPTH + 6):
            board.publish(notice(number))
        return [await first, await anext(stream)]

    lost, first = asyncio.run(story())
    assert (lost.kind, lost.values["lost"], first.id) == ("lost", 5, "a-6")
