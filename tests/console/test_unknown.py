"""Before the first answer, and where there is none, pages say that it is not known: never that there is nothing."""

import asyncio
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from nicegui import Client, ui

from counterflow.console.api import ApiError
from counterflow.console.asking import NOT_YET
from counterflow.console.facts import Facts
from counterflow.console.figures import SHORT, Figure
from counterflow.console.frame import every_second
from counterflow.console.listed import Listed
from counterflow.console.pages.fleet import Sessions, state_words
from counterflow.console.pages.health import alarms_words
from counterflow.console.pages.sites import Conflicts
from counterflow.console.pages.stations import OneStation, Stations
from counterflow.console.tables import Rows, table

AWAY = "The server cannot be reached."
NOBODY = {"stations": [], "matched": 0, "total": 0, "connected": 0, "held_out": 0}
NO_SESSION = {"sessions": [], "matched": 0, "total": 0, "reasons": {}}


class Api:
    """Answers with what it is given; an error is raised."""

    def __init__(self) -> None:
        self.answer: Any = ApiError(AWAY)
        self.asked: list[dict[str, Any]] = []

    async def get(self, token: str, path: str, **params: Any) -> Any:
        self.asked.append(params)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def house(api: Api) -> Iterator[Any]:
    """What pages share, inside of a page."""
    with Client(ui.page("/test")):
        yield SimpleNamespace(api=api, now_s=lambda: 1.8e9, feed=SimpleNamespace(others_told=0))


VISITOR: Any = SimpleNamespace(token="t", may_operate=True)  # no token of anybody's


def instead(shown: Rows) -> str:
    """What stands where rows would be."""
    assert shown.rows == []
    sentence: str = shown.props["no-data-label"]
    return sentence


def a_list(house: Any) -> tuple[Rows, Any]:
    shown = table((("who", "Who"),), [], row_key="who", empty="Nobody.")
    return shown, Listed(house, VISITOR, "/audit", lambda found: [{"who": one} for one in found], shown)._asked


def page_of(make: Callable[[Any, Any], Any]) -> Callable[[Any], tuple[Rows, Any]]:
    def made(house: Any) -> tuple[Rows, Any]:
        page = make(house, VISITOR)
        return page._table, page._asked

    return made


@pytest.mark.parametrize(
    ("place", "nothing", "empty"),
    [
        (a_list, [], "Nobody."),
        (page_of(Sessions), NO_SESSION, "No session."),
        (page_of(Stations), NOBODY, "No station. It may connect once it is registered: counterflow stations add"),
        (page_of(Conflicts), [], "Nobody else steers a station of ours."),
    ],
    ids=["list", "fleet", "stations", "conflicts"],
)
def test_nothing_is_said_only_once_the_server_has_said_so(
    house: Any, api: Api, place: Callable[[Any], tuple[Rows, Any]], nothing: Any, empty: str
) -> None:
    shown, asked = place(house)
    assert instead(shown) == NOT_YET
    asyncio.run(asked.look())
    assert instead(shown) == f"Not known: {AWAY}"
    api.answer = nothing
    asyncio.run(asked.look())
    assert instead(shown) == empty


def test_what_came_last_stays_while_the_server_is_away(house: Any, api: Api) -> None:
    shown, asked = a_list(house)
    api.answer = ["ann"]
    asyncio.run(asked.look())
    api.answer = ApiError(AWAY)
    asyncio.run(asked.look())
    assert shown.rows == [{"who": "ann"}]
    assert shown.say(AWAY) == AWAY, "beside the rows"


def test_rows_of_another_page_do_not_stay_under_its_number(house: Any, api: Api) -> None:
    shown, asked = a_list(house)
    api.answer = ["ann"]
    asyncio.run(asked.look())
    shown.forget()  # the viewer turned the page
    assert shown.props["loading"] is True
    api.answer = ApiError(AWAY)
    asyncio.run(asked.ask())
    assert instead(shown) == f"Not known: {AWAY}"
    assert shown.props["loading"] is False
    assert shown.say(AWAY) == "", "it is said once"


def test_a_page_beyond_the_end_leads_to_the_last(house: Any, api: Api) -> None:
    page = Stations(house, VISITOR)
    page._table.pagination = {"rowsPerPage": 25, "page": 4, "rowsNumber": 90}
    api.answer = NOBODY | {"matched": 30, "total": 90}
    asyncio.run(page._asked.look())
    assert page._table.props["loading"] is True, "it is not said that there is none"
    asyncio.run(page._asked.look())
    assert [asked["offset"] for asked in api.asked] == [75, 25]


def test_a_station_that_does_not_load_has_no_empty_tables(house: Any, api: Api) -> None:
    page = OneStation(house, VISITOR, "CS-1")
    asyncio.run(page._asked.look())
    asyncio.run(page._asked_frames.look())
    for shown in (page._evses, page._settings, page._profiles, page._frames):
        assert instead(shown) == f"Not known: {AWAY}"


def test_facts_are_not_known_until_they_came_and_say_when_they_are_old(house: Any) -> None:
    facts = Facts("w-full")
    assert facts._trouble.text == NOT_YET
    facts.show([("Line", "connected")])
    assert not facts._trouble.visible
    facts.say(AWAY)
    assert facts._trouble.visible
    assert facts._trouble.text == f"{AWAY} What follows is what was known before."
    facts.show([("Line", "connected")])
    assert not facts._trouble.visible


def test_what_cannot_be_shown_is_logged_once_said_and_does_not_end_the_page(house: Any, caplog: pytest.LogCaptureFixture) -> None:
    odd = [True]

    def update() -> None:
        if odd:
            raise KeyError("stations_connected")

    with ui.column() as place:
        every_second(update)
    trouble, timer = place.default_slot.children
    assert isinstance(trouble, ui.label)
    assert isinstance(timer, ui.timer)
    assert timer.callback is not None
    assert trouble.visible
    assert trouble.text.startswith("A part of this page cannot be shown (KeyError)")
    timer.callback()
    assert len(caplog.records) == 1
    odd.clear()
    timer.callback()
    assert not trouble.visible


def test_no_alarm_is_said_only_while_the_server_is_heard() -> None:
    assert alarms_words("", 0) == "There is no alarm."
    assert alarms_words(AWAY, 0) == f"Whether there is an alarm now is not known: {AWAY}"
    assert alarms_words(AWAY, 2).endswith("Those that were known before:")


@pytest.mark.parametrize(
    ("phase", "power_w", "words"),
    [
        ("charging", 7e3, "discharging"),
        ("charging", -7e3, "charging"),
        ("charging", None, "charging"),
        ("charging", 43.0, "charging"),
        ("ev_connected", 1.0, "ev connected"),
    ],
)
def test_which_way_a_car_goes_only_its_meter_knows(phase: str, power_w: float | None, words: str) -> None:
    assert state_words({"phase": phase, "power_w": power_w}) == words


def test_a_figure_grows_smaller_with_its_digits(house: Any) -> None:
    figure = Figure("sessions following", "following")
    assert figure._shown.text == "–"
    figure.set_text("5,400 of 10,000")
    assert figure._shown.style["--cf-letters"] == "15"
    figure.set_text("0 W")
    assert figure._shown.style["--cf-letters"] == str(SHORT)
