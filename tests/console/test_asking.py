"""What is shown of answers: only those to the newest question; and looking goes on whatever an answer does."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from counterflow.console.api import ApiError
from counterflow.console.asking import Asked


class Place:
    """What a place of a page shows and says; questions are answered by hand, in any order."""

    def __init__(self, *, within_s: float = 60.0) -> None:
        self.questions: list[asyncio.Future[str]] = []
        self.shown: list[str] = []
        self.said: list[str] = []
        self.asked = Asked(self._question, self._show, self.said.append, within_s=within_s)

    async def _question(self) -> str:
        self.questions.append(asyncio.get_running_loop().create_future())
        return await self.questions[-1]

    def _show(self, answer: str) -> None:
        if answer == "odd":
            raise KeyError(answer)
        self.shown.append(answer)

    async def begin(self, way: Callable[[], Any]) -> asyncio.Task[None]:
        """Ask, and let the question get on its way."""
        task = asyncio.create_task(way())
        for _ in range(3):
            await asyncio.sleep(0)
        return task


def test_the_answer_to_a_refresh_that_was_asked_before_the_viewer_acted_is_dropped() -> None:
    async def life() -> Place:
        place = Place()
        refresh = await place.begin(place.asked.look)
        act = await place.begin(place.asked.ask)
        before, after = place.questions
        after.set_result("page 2")
        await act
        if not before.done():
            before.set_result("page 1")
        await refresh
        return place

    assert asyncio.run(life()).shown == ["page 2"]


def test_a_late_answer_is_dropped_even_where_it_comes_first() -> None:
    async def life() -> Place:
        place = Place()
        refresh = await place.begin(place.asked.look)
        place.questions[0].set_result("page 1")
        act = asyncio.create_task(place.asked.ask())  # in the same instant, before the answer was looked at
        await refresh
        while len(place.questions) < 2:
            await asyncio.sleep(0)
        place.questions[1].set_result("page 2")
        await act
        return place

    assert asyncio.run(life()).shown[-1] == "page 2"


def test_of_filters_typed_quickly_only_the_last_is_answered() -> None:
    async def life() -> Place:
        place = Place()
        acts = [await place.begin(place.asked.ask) for _ in range(3)]
        for number in (2, 0, 1):
            if not place.questions[number].done():
                place.questions[number].set_result(f"filter {number}")
        await asyncio.gather(*acts)
        return place

    place = asyncio.run(life())
    assert (place.shown, place.said) == (["filter 2"], [""])


def test_a_refresh_asks_nothing_while_a_viewer_waits() -> None:
    async def life() -> Place:
        place = Place()
        act = await place.begin(place.asked.ask)
        await place.asked.look()
        assert len(place.questions) == 1
        place.questions[0].set_result("page 2")
        await act
        await place.begin(place.asked.look)
        assert len(place.questions) == 2, "afterwards it goes on"
        return place

    assert asyncio.run(life()).shown == ["page 2"]


def test_a_refresh_that_hangs_does_not_keep_the_viewer_waiting() -> None:
    async def life() -> Place:
        place = Place()
        refresh = await place.begin(place.asked.look)
        act = await place.begin(place.asked.ask)
        await refresh  # its timer goes on as well
        place.questions[1].set_result("page 2")
        await act
        return place

    assert asyncio.run(life()).shown == ["page 2"]


def test_an_answer_that_never_comes_is_said_and_looking_goes_on() -> None:
    async def life() -> Place:
        place = Place(within_s=0.01)
        await place.asked.look()
        assert place.said == ["The server has not answered within 0.01 s."]
        assert place.questions[0].cancelled(), "nothing is left behind"
        place.asked._within_s = 60.0
        again = await place.begin(place.asked.look)
        place.questions[1].set_result("rows")
        await again
        return place

    place = asyncio.run(life())
    assert (place.shown, place.said[-1]) == (["rows"], "")


@pytest.mark.parametrize("error", [RuntimeError("boom"), TimeoutError(), asyncio.CancelledError(), OSError("broken pipe"), "odd"])
def test_whatever_an_answer_does_is_logged_once_said_and_does_not_end_the_looking(
    error: BaseException | str, caplog: pytest.LogCaptureFixture
) -> None:
    async def life() -> Place:
        place = Place()
        for answer in (error, error, "rows", error):
            look = await place.begin(place.asked.look)
            if isinstance(answer, str):
                place.questions[-1].set_result(answer)
            else:
                place.questions[-1].set_exception(answer)
            await look
        return place

    with caplog.at_level(logging.ERROR, "counterflow.console"):
        place = asyncio.run(life())
    name = "KeyError" if isinstance(error, str) else type(error).__name__
    odd = f"An answer of the server is not understood ({name})."
    assert (place.shown, place.said) == (["rows"], [odd, odd, "", odd])
    assert len(caplog.records) == 2, "once, and once more after it had been well"


def test_what_the_api_says_is_said_and_is_no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async def life() -> Place:
        place = Place()
        look = await place.begin(place.asked.look)
        place.questions[0].set_exception(ApiError("The server cannot be reached."))
        await look
        return place

    assert asyncio.run(life()).said == ["The server cannot be reached."]
    assert not caplog.records


def test_a_page_that_is_closed_asks_no_more() -> None:
    async def life() -> Place:
        place = Place()
        look = await place.begin(place.asked.look)
        look.cancel()
        with pytest.raises(asyncio.CancelledError):
            await look
        assert place.questions[0].cancelled()
        return place

    assert asyncio.run(life()).shown == []
