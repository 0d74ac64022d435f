"""The VEN against our VTN: the order of work of grid.md §1.6, and every oddity that VTNs were seen to have."""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from tests.adapters.openadr.stand_in import StandInGrid

from counterflow.adapters.openadr import models
from counterflow.adapters.openadr.client import VtnClient, VtnError
from counterflow.adapters.openadr.models import Version
from counterflow.adapters.openadr.settings import FollowedProgram, ResourceSettings, VtnSettings
from counterflow.adapters.openadr.times import ENDLESS_S, NOW_S
from counterflow.adapters.openadr.ven import Ven
from counterflow.domain.grid import GridOutcome, GridUnit, PoolTelemetry, Program, Sign, Wire
from counterflow.domain.views import Refusal, RefusalKind
from counterflow.sim.vtn.faults import Fault
from counterflow.sim.vtn.serving import OPERATOR, VEN, build

NORTH = Program(
    name="north", wire=Wire.OPENADR, external_id="v2g", pool="north", sign=Sign.LOAD, unit=GridUnit.KW, max_discharge_power_w=5e6
)


class House:
    """A VTN, a VEN and a grid side; the operator's hand on the first."""

    def __init__(self, tmp_path: Path, *, programs: tuple[Program, ...] = (NORTH,), **settings: Any) -> None:
        self.grid = StandInGrid(*programs)
        self.vtn = build("http://vtn.localhost", now_s=self.grid.now_s, run="r")
        self.secret = tmp_path / "secret"
        self.secret.write_text(f"{VEN.secret}\n")
        version = settings.pop("version", Version.V3_1_0)
        follows = settings.pop("follows", tuple(FollowedProgram(program=program.name) for program in programs))
        self.settings = VtnSettings(
            name="dso",
            url=self.vtn.url(version),
            version=version,
            programs=follows,
            client_id=VEN.client_id,
            client_secret_file=str(self.secret),
            **settings,
        )
        self.pauses: list[float] = []
        self.lost = False
        self.begin()
        self.program = self.create(models.Program(program_name="v2g"))

    def begin(self) -> None:
        """A process of ours: it knows what the grid side has kept, and nothing else."""
        self.grid.alarms.clear()
        self.client = VtnClient(self.settings, self.grid.now_s, transport=self, sleep=self._sleep, random=Random(1))
        self.ven = Ven(self.settings, self.grid, self.client, random=Random(1))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The network."""
        if self.lost:
            raise httpx.ConnectTimeout("lost", request=request)
        response = await httpx.ASGITransport(app=self.vtn.app).handle_async_request(request)
        if self.spoils is not None:
            marked, sent, spoiled = self.spoils
            body = await response.aread()
            head, mark, tail = body.partition(b'"id":"' + marked)
            return httpx.Response(response.status_code, content=head + mark + tail.replace(sent, spoiled, 1), request=request)
        if self.dated is not None:
            response.headers["date"] = self.dated
        return response

    dated: str | None = None
    spoils: tuple[bytes, bytes, bytes] | None = None
    """Behind the id of an object, what is sent and what comes here."""

    async def aclose(self) -> None:
        """Nothing to give back."""

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def create(self, thing: Any) -> Any:
        """The operator makes an object."""
        return self.vtn.house.store.create(OPERATOR, thing, Version.V3_1_0)

    def change(self, thing: Any) -> Any:
        """The operator changes an object."""
        self.grid.at_s += 0.001
        return self.vtn.house.store.replace(OPERATOR, thing.id, thing, Version.V3_1_0)

    def set_value(self, event: models.Event, value: float) -> None:
        """The operator orders another power in a single interval."""
        payloads = (models.ValuesMap(type="DISPATCH_SETPOINT", values=(value,)),)
        self.change(replace(event, intervals=(replace(event.intervals[0], payloads=payloads),)))

    def delete(self, thing: Any) -> None:
        """The operator takes an object away."""
        self.vtn.house.store.delete(OPERATOR, type(thing), thing.id, Version.V3_1_0)

    def event(self, *values: float, start_s: float | None = None, duration_s: float = 900.0, **event: Any) -> models.Event:
        """The operator orders kW in intervals of 15 min."""
        kind = event.pop("kind", "DISPATCH_SETPOINT")
        period = models.IntervalPeriod(start_s=self.grid.at_s if start_s is None else start_s, duration_s=duration_s)
        intervals = tuple(
            models.Interval(id=number, payloads=(models.ValuesMap(type=kind, values=(value,)),)) for number, value in enumerate(values)
        )
        event.setdefault("program_id", self.program.id)
        made: models.Event = self.create(models.Event(interval_period=period, intervals=intervals, **event))
        return made

    def poll(self, after_s: float = 0.0) -> None:
        """Time passes, and the VEN reads."""
        self.grid.at_s += after_s
        asyncio.run(self.ven.poll())

    def do(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Something else that is awaited."""

        async def run() -> Any:
            return await work()

        return asyncio.run(run())

    @property
    def stored(self) -> list[Any]:
        """What our VEN has made at the VTN."""
        store = self.vtn.house.store
        return [*store.all_of(models.Ven), *store.all_of(models.Resource)]


@pytest.fixture
def at(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.mark.parametrize("version", list(Version))
def test_an_event_is_ordered_changed_and_taken_back(tmp_path: Path, version: Version) -> None:
    at = House(tmp_path, version=version)
    event = at.event(-2000.0, -1500.0)
    at.poll()
    assert at.grid.log == [f"accepted {event.id}"]
    order = at.grid.records["north", event.id].order
    assert [(step.from_s - at.grid.at_s, step.discharge_power_w) for step in order.steps] == [(0.0, 2e6), (900.0, 1.5e6)]
    assert order.end_s == at.grid.at_s + 1800.0
    at.poll(10.0)
    assert len(at.grid.log) == 1, "the same again changes nothing"
    at.set_value(event, -500)
    at.poll(10.0)
    assert at.grid.asks_w() == 5e5
    at.delete(event)
    at.poll(10.0)
    assert at.grid.log == [f"accepted {event.id}", f"changed {event.id}", f"withdrawn {event.id}"]
    assert at.grid.alarms == {}


def test_it_introduces_itself_once_and_finds_itself_again(tmp_path: Path) -> None:
    at = House(tmp_path, resources=(ResourceSettings(name="depot", max_export_power_w=150e3),))
    at.poll()
    at.begin()
    at.poll()
    ven, resource = at.stored
    assert (ven.ven_name, resource.resource_name, resource.ven_id) == ("counterflow", "depot", ven.id)
    assert resource.attributes == (models.ValuesMap(type="MAX_POWER_EXPORT", values=(150.0,)),)
    assert at.grid.noted["dso/ven"] == ven.id


def test_a_ven_that_somebody_else_holds_is_an_alarm_and_nothing_is_followed(at: House) -> None:
    at.create(models.Ven(object_type="BL_VEN_REQUEST", ven_name="counterflow", client_id="somebody"))
    at.event(-100.0)
    for _ in range(3):
        at.poll(10.0)
    assert at.grid.log == []
    assert "exists, and does not show it" in at.grid.alarms["dso: lost"]


def test_a_program_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    south = Program(name="south", wire=Wire.OPENADR, sign=Sign.LOAD, max_discharge_power_w=1e6)
    at = House(tmp_path, programs=(NORTH, south))
    at.event(-100.0)
    at.poll()
    assert at.grid.alarms["dso: introduction"] == "VTN 'dso' has no program 'south' (it has: v2g)."
    assert at.grid.asks_w() == 1e5, "the others are followed all the same"
    at.create(models.Program(program_name="south"))
    at.poll(601.0)
    assert at.grid.alarms == {}


def test_all_pages_are_read(at: House) -> None:
    events = [at.event(-1.0, start_s=at.grid.at_s + 1000.0 * number) for number in range(123)]
    at.poll()
    assert len(at.grid.records) == 123
    at.poll(10.0)
    assert len(at.grid.log) == 123
    at.delete(events[60])
    at.poll(10.0)
    assert at.grid.log[123:] == [f"withdrawn {events[60].id}"]


def test_what_slipped_from_a_page_is_asked_for_by_its_id_and_not_cancelled(at: House) -> None:
    event = at.event(-100.0)
    at.poll()
    listing = at.client.listing

    async def slipping(kind: Any, path: str, params: Any = ()) -> Any:
        page = await listing(kind, path, params)
        return replace(page, items=()) if path == "/events" else page

    at.client.listing = slipping  # type: ignore[method-assign]
    at.poll(10.0)
    assert at.grid.log == [f"accepted {event.id}"]
    at.delete(event)
    at.poll(10.0)
    assert at.grid.log[1:] == [f"withdrawn {event.id}"]


def test_now_is_when_it_was_first_read_also_after_a_restart(at: House) -> None:
    event = at.event(-100.0, start_s=NOW_S, duration_s=600.0)
    at.poll()
    begin_s = at.grid.at_s
    at.poll(200.0)
    at.begin()
    at.poll(200.0)
    order = at.grid.records["north", event.id].order
    assert (order.steps[0].from_s, order.end_s) == (begin_s, begin_s + 600.0)
    assert at.grid.log == [f"accepted {event.id}"]
    at.delete(event)
    at.poll(10.0)
    assert not [key for key in at.grid.noted if "/now/" in key], "the anchor goes with its event"


def test_an_event_that_says_that_it_is_cancelled_is_taken_back(at: House) -> None:
    event = at.event(-100.0)
    at.poll()
    at.change(replace(event, interval_period=models.IntervalPeriod(start_s=NOW_S, duration_s=0.0)))
    at.poll(10.0)
    assert at.grid.log == [f"accepted {event.id}", f"withdrawn {event.id}"]


def test_a_state_of_charge_is_planned_when_its_interval_begins_kept_over_a_restart_and_planned_anew(at: House) -> None:
    percent = (models.EventPayloadDescriptor(payload_type="CHARGE_STATE_SETPOINT", units="PERCENT"),)
    event = at.event(0.5, 0.2, kind="CHARGE_STATE_SETPOINT", start_s=at.grid.at_s + 60.0, payload_descriptors=percent)

    def holds(stored_wh: float) -> None:
        unknown: dict[str, Any] = dict.fromkeys(PoolTelemetry.__struct_fields__)
        known: dict[str, Any] = {
            "storage_at_s": at.grid.at_s, "stored_energy_wh": stored_wh, "storage_capacity_wh": 1e6, "usable_energy_wh": 2e5,
            "max_discharge_power_w": 9e5, "max_charge_power_w": 9e5,
        }  # fmt: skip
        at.grid.pools[NORTH.pool] = PoolTelemetry(**unknown | known)

    at.poll()
    assert at.grid.asks_w() is None, "its time has not come"
    at.poll(60.0)
    assert "How much energy the pool's cars hold is not known." in str(at.grid.alarms)
    holds(6e5)
    at.poll()
    first_w = at.grid.asks_w()
    assert first_w == pytest.approx(0.93 * 1e5 * 4)
    assert not [text for text in at.grid.alarms.values() if event.id in text]
    at.begin()
    holds(5.9e5)
    at.poll(10.0)
    assert at.grid.asks_w() == first_w, "a restart plans nothing anew"
    at.grid.at_s += 300.0
    holds(5.2e5)
    at.poll()
    assert at.grid.asks_w() == pytest.approx(0.93 * 2e4 / 590.0 * 3600.0)
    at.grid.at_s += 600.0
    holds(5e5)
    at.poll()
    assert at.grid.asks_w() is None
    assert "20 % cannot be reached" in str(at.grid.alarms), "drivers agreed to 200 kWh"
    at.delete(event)
    at.poll()
    assert not [key for key in at.grid.noted if "/charge/" in key], "plans go with their event"


def test_a_random_start_is_the_same_after_a_restart(at: House) -> None:
    event = at.event(-100.0)
    at.change(replace(event, interval_period=replace(event.interval_period, randomize_start_s=300.0)))
    at.poll()
    start_s = at.grid.records["north", event.id].order.steps[0].from_s
    assert at.grid.at_s < start_s < at.grid.at_s + 300.0
    at.begin()
    at.poll(5.0)
    assert len(at.grid.log) == 1


def test_a_higher_event_goes_before_and_gives_back_what_is_left(at: House) -> None:
    low = at.event(-1000.0, duration_s=7200.0, priority=5)
    at.poll()
    high = at.event(-3000.0, start_s=at.grid.at_s + 600.0, duration_s=600.0, priority=0)
    at.poll(10.0)
    assert at.grid.asks_w() == 1e6
    at.poll(700.0)
    assert at.grid.asks_w() == 3e6
    at.delete(high)
    at.poll(10.0)
    assert at.grid.asks_w() == 1e6
    assert at.grid.log[-2:] == [f"withdrawn {high.id}", f"changed {low.id}#2"]


def test_a_lost_vtn_is_an_alarm_and_the_known_schedule_goes_on(at: House) -> None:
    event = at.event(-100.0, duration_s=3600.0)
    at.poll()
    at.lost = True
    for _ in range(2):
        at.poll(10.0)
    assert at.grid.alarms == {}
    at.poll(10.0)
    assert "does not answer (ConnectTimeout). 3 polls in a row" in at.grid.alarms["dso: lost"]
    assert at.grid.asks_w() == 1e5
    at.begin()
    at.poll(10.0)
    assert at.grid.asks_w() == 1e5, "nor does a restart while it is lost"
    at.lost = False
    at.poll(10.0)
    assert at.grid.alarms == {}
    assert at.grid.log == [f"accepted {event.id}"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_vtn_is_asked_again_after_a_pause_that_grows(at: House, status: int) -> None:
    at.event(-100.0)
    at.vtn.house.faults.add(Fault(path="/events", times=2, status=status))
    at.poll()
    assert at.grid.asks_w() == 1e5
    first_s, second_s = at.pauses
    assert 0.25 <= first_s <= 0.75
    assert 0.5 <= second_s <= 1.5
    assert at.ven.state.missed == 0


def test_retry_after_is_kept(at: House) -> None:
    at.vtn.house.faults.add(Fault(path="/events", status=429, retry_after_s=7))
    at.poll()
    assert at.pauses == [7.0]


def test_a_poll_that_breaks_off_between_two_pages_cancels_nothing(at: House) -> None:
    for number in range(60):
        at.event(-1.0, start_s=at.grid.at_s + 1000.0 * number)
    at.poll()
    at.vtn.house.faults.requests.clear()
    for _ in range(3):
        at.vtn.house.faults.add(Fault(path="/events", times=1, status=200))
    at.poll(10.0)
    assert at.ven.state.missed == 1
    assert not [line for line in at.grid.log if line.startswith("withdrawn")]


def test_a_token_is_renewed_before_it_is_over_and_after_a_401_once(at: House) -> None:
    at.vtn.house.tokens.life_s = 300.0
    at.poll()
    at.poll(200.0)
    assert at.client.counts["tokens"] == 1
    at.poll(80.0)
    assert at.client.counts["tokens"] == 2
    at.vtn.house.tokens._given.clear()
    at.poll(5.0)
    assert (at.client.counts["tokens"], at.client.counts["4xx"], at.ven.state.missed) == (3, 1, 0)


def test_wrong_credentials_are_said_and_never_shown(at: House, caplog: Any) -> None:
    at.secret.write_text("super-secret-word")
    at.begin()
    for _ in range(3):
        at.poll(10.0)
    assert "gives no token (401): check client_id and secret" in at.grid.alarms["dso: lost"]
    assert "super-secret-word" not in str(at.grid.alarms) + caplog.text


def test_a_token_without_expires_in_is_good_until_a_401(at: House) -> None:
    at.vtn.house.quirks.no_expires_in = True
    at.vtn.house.tokens.life_s = 1000.0
    at.poll()
    at.poll(900.0)
    assert at.client.counts["tokens"] == 1
    at.poll(200.0)
    assert (at.client.counts["tokens"], at.ven.state.missed) == (2, 0)


@pytest.mark.parametrize(
    "quirks",
    [
        {"plain_times": True},
        {"endless_rewritten": True},
        {"nested_targets": True},
        {"unknown_fields": True},
        {"filters_ignored": True},
        {"plain_times": True, "endless_rewritten": True, "nested_targets": True, "unknown_fields": True, "filters_ignored": True},
    ],
    ids=lambda quirks: "+".join(quirks),
)
def test_oddities_of_real_vtns_do_no_harm(at: House, quirks: dict[str, bool]) -> None:
    for name, on in quirks.items():
        setattr(at.vtn.house.quirks, name, on)
    other = at.create(models.Program(program_name="prices"))
    at.event(0.2, kind="PRICE", program_id=other.id)
    event = at.event(-100.0, duration_s=ENDLESS_S)
    at.poll()
    at.poll(86_400.0 * 40)
    assert at.grid.log == [f"accepted {event.id}"]
    assert at.grid.records["north", event.id].order.end_s == inf
    assert at.grid.asks_w() == 1e5
    assert at.grid.alarms == {}


def test_a_vtn_that_was_set_up_anew_is_found_again_at_once(at: House) -> None:
    event = at.event(-100.0)
    at.poll()
    at.vtn = build("http://vtn.localhost", now_s=at.grid.now_s, run="anew")
    at.program = at.create(models.Program(program_name="v2g"))
    other = at.event(-50.0)
    at.poll(10.0)
    at.poll(10.0)
    assert at.grid.log == [f"accepted {event.id}", f"withdrawn {event.id}", f"accepted {other.id}"]
    assert len(at.stored) == 1


def test_events_are_followed_where_the_rest_of_the_vtn_is_broken(at: House) -> None:
    at.event(-100.0)
    at.poll()
    at.vtn.house.faults.add(Fault(path="/vens", times=9, status=500))
    other = at.event(-50.0, start_s=at.grid.at_s + 5000.0)
    at.poll(130.0)
    assert at.grid.log[1:] == [f"accepted {other.id}"]
    assert "500" in at.grid.alarms["dso: introduction"]


def test_targets_are_looked_at_here_whoever_filters_there(tmp_path: Path) -> None:
    south = replace(NORTH, name="south", pool="south")
    follows = (FollowedProgram(program="north", targets=("vpp-north",)), FollowedProgram(program="south", targets=("vpp-south",)))
    at = House(tmp_path, programs=(NORTH, south), follows=follows)
    at.create(
        models.Ven(object_type="BL_VEN_REQUEST", client_id=VEN.client_id, ven_name="counterflow", targets=("vpp-north", "vpp-south", "x"))
    )
    mine, other, both = at.event(-1.0, targets=("vpp-north",)), at.event(-2.0, targets=("x",)), None
    at.poll()
    assert at.grid.log == [f"accepted {mine.id}"]
    assert (at.grid.asks_w("north"), at.grid.asks_w("south")) == (1e3, None)
    at.delete(other)
    both = at.event(-3.0, targets=("vpp-south", "vpp-north"), start_s=at.grid.at_s + 5000.0)
    at.poll(10.0)
    assert at.grid.log[1:] == [f"declined {both.id}"] * 2
    assert "a set-point is not divided" in at.grid.alarms[f"dso: event {both.id}"]


def test_without_targets_in_the_settings_those_that_were_granted_count(at: House) -> None:
    at.vtn.house.quirks.filters_ignored = True
    at.create(models.Ven(object_type="BL_VEN_REQUEST", client_id=VEN.client_id, ven_name="counterflow", targets=("ours",)))
    events = [at.event(-1.0, targets=("ours",)), at.event(-2.0, start_s=at.grid.at_s + 2000.0)]
    at.poll()
    assert at.grid.log == [f"accepted {event.id}" for event in events]


def test_what_cannot_be_done_is_declined_once_told_and_forgotten_with_its_event(at: House) -> None:
    event = at.event(500.0)
    at.poll()
    at.poll(10.0)
    assert at.grid.log == [f"declined {event.id}"]
    alarm = at.grid.alarms[f"dso: event {event.id}"]
    assert "additional consumption" in alarm
    assert "Correct the event at the VTN" in alarm
    at.set_value(event, -5)
    at.poll(10.0)
    assert at.grid.log[1:] == [f"changed {event.id}"]
    assert at.grid.alarms == {}


def test_an_order_that_the_desk_refuses_is_not_asked_again_but_too_often_is(at: House) -> None:
    at.grid.refuses = Refusal(kind=RefusalKind.TOO_OFTEN, sentence="Too many.", remedy="Wait.")
    event = at.event(-100.0)
    at.poll()
    at.grid.records.clear()
    at.grid.refuses = Refusal(kind=RefusalKind.CONFLICT, sentence="Another dispatch runs.", remedy="Cancel it.")
    for _ in range(3):
        at.poll(10.0)
    assert at.grid.log == [f"refused {event.id}"] * 2
    assert at.grid.alarms[f"dso: event {event.id}"].endswith("is refused: Another dispatch runs. Cancel it.")
    at.begin()
    at.poll(10.0)
    assert len(at.grid.log) == 2
    assert at.grid.alarms
    at.delete(event)
    at.poll(10.0)
    assert at.grid.alarms == {}


def test_a_refused_change_leaves_the_former_version_and_is_not_asked_again(at: House) -> None:
    event = at.event(-100.0)
    at.poll()
    at.grid.refuses = Refusal(kind=RefusalKind.INVALID, sentence="Too much.", remedy="Order less.")
    at.set_value(event, -9e9)
    for _ in range(3):
        at.poll(10.0)
    assert at.grid.log == [f"accepted {event.id}", f"refused {event.id}"]
    assert at.grid.asks_w() == 1e5
    assert "Too much." in at.grid.alarms[f"dso: event {event.id}"]


def test_limits_and_alerts_hold_as_long_as_their_event(at: House) -> None:
    limit = at.event(50.0, kind="EXPORT_CAPACITY_LIMIT", duration_s=600.0)
    alert = at.event(1.0, kind="ALERT_GRID_EMERGENCY", duration_s=600.0, event_name="cold night")
    at.poll()
    (bound,) = at.grid.bounds("north")
    assert (bound.max_export_w, bound.max_import_w, bound.pool, bound.key) == (50e3, inf, "north", limit.id)
    assert "ALERT_GRID_EMERGENCY (event 'cold night')" in at.grid.alarms[f"dso: alert {alert.id}"]
    at.poll(10.0)
    assert at.grid.log == ["limits 1"]
    at.delete(limit)
    at.poll(600.0)
    assert at.grid.bounds("north") == []
    assert at.grid.alarms == {}


def test_an_event_that_cannot_be_read_is_told_and_spoils_no_other(at: House) -> None:
    good, bad = at.event(-100.0), at.event(-7.0, start_s=at.grid.at_s + 5000.0)
    at.spoils = (bad.id.encode(), b'"duration":"PT15M"', b'"duration":"P3M"')
    at.poll()
    assert at.grid.log == [f"accepted {good.id}"]
    assert "years or months" in at.grid.alarms[f"dso: unreadable {bad.id}"]


@pytest.mark.parametrize(("ahead_s", "words"), [(0.0, None), (1.9, None), (5.0, "ahead of ours"), (-9.0, "behind ours")])
def test_a_clock_that_is_off_by_more_than_two_seconds_is_an_alarm(at: House, ahead_s: float, words: str | None) -> None:
    from email.utils import formatdate

    at.dated = formatdate(at.grid.at_s + ahead_s, usegmt=True)
    at.poll()
    found = at.grid.alarms.get("dso: clock")
    assert (found is None) if words is None else (found is not None and words in found)


def test_a_vtn_that_answers_something_else_is_an_alarm_in_a_sentence(at: House) -> None:
    class Elsewhere(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, text="<html>Log in</html>", request=request)

    at.client = VtnClient(replace(at.settings, client_id=""), at.grid.now_s, transport=Elsewhere())
    with pytest.raises(VtnError, match=r"answers /openadr3/3.1.0/programs with something else"):
        at.do(lambda: at.client.listing(models.Program, "/programs"))


def test_a_fault_of_ours_is_an_alarm_and_the_next_round_is_tried(at: House) -> None:
    at.event(-100.0)
    at.grid.standing = None  # type: ignore[method-assign, assignment]
    for _ in range(3):
        at.poll(10.0)
    assert "a fault of ours (TypeError" in at.grid.alarms["dso: lost"]
    del at.grid.standing
    at.poll(10.0)
    assert at.grid.asks_w() == 1e5
    assert at.grid.alarms == {}


def test_what_was_ordered_and_is_over_is_left_alone(at: House) -> None:
    event = at.event(-100.0, duration_s=60.0)
    at.poll()
    at.delete(event)
    at.poll(100.0)
    assert at.grid.log == [f"accepted {event.id}"]
    assert at.grid.records["north", event.id].outcome is GridOutcome.ACCEPTED


def test_the_pause_between_polls_has_a_jitter_and_is_longer_where_news_are_pushed(at: House) -> None:
    class Pushed:
        active = True

        async def greet(self, introduction: object) -> None:
            pass

        def troubles(self) -> list[str]:
            return ["No notifications come."]

    pauses = [at.ven.pause_s() for _ in range(200)]
    assert 9.0 <= min(pauses) < 9.3
    assert 10.7 < max(pauses) <= 11.0
    at.ven = Ven(at.settings, at.grid, at.client, push=Pushed(), random=Random(1))
    assert 54.0 <= at.ven.pause_s() <= 66.0
    at.poll()
    assert at.grid.alarms["dso: push"] == "No notifications come."
    at.ven.state.missed = 1
    assert at.ven.pause_s() <= 11.0
