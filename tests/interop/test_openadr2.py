"""The VEN against the VTN of `openleadr` on loopback: events and opts, reports; behind it the whole control room and a fleet."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from openleadr import OpenADRServer, hooks, objects

from counterflow.adapters.openadr2.settings import OpenAdr2Settings
from counterflow.adapters.openadr2.ven import LINK, Ven
from counterflow.app.config import Settings
from counterflow.app.replay import Replay
from counterflow.domain.grid import GridAnswer, GridOrder, GridOutcome, PoolTelemetry, Wire
from counterflow.domain.ids import PoolId
from counterflow.domain.instructions import DispatchMode, DispatchState
from counterflow.sim.settings import PlantSettings, WorldSettings

MARKET = "http://market.example/dr"
VEN_ID = "ven-4711"
SETTINGS = {
    "stations": {"accept_unknown": True},
    "drivers": {"default": {"consent": True}},
    "programs": [{"name": "dr", "wire": "openadr2", "external_id": MARKET, "sign": "load", "max_discharge_power_w": 100_000.0}],
}
POWER = objects.Measurement(
    name="powerReal", description="RealPower", unit="W", scale="k",
    power_attributes=objects.PowerAttributes(hertz=50, voltage=230, ac=True),
)  # fmt: skip


class Side:
    """The grid side of a replay for a VEN on the wall clock: telemetry is of now, whatever the virtual clock shows."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._sequence = 0
        self.alarms: dict[str, str | None] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._replay.grid, name)

    async def telemetry_since(self, pool: PoolId, sequence: int, most: int, wait_s: float = 0.0) -> Sequence[PoolTelemetry]:
        self._sequence += 1
        return [replace(self._replay.grid.telemetry(pool), sequence=self._sequence, at_s=time.time(), measured_power_w=30_000.0)]

    async def place(self, order: GridOrder) -> GridAnswer:
        if order.key == "our-fault":
            raise RuntimeError("a fault of ours")
        answer: GridAnswer = await self._replay.grid.place(order)
        return answer

    def alarm(self, wire: Wire, subject: str, sentence: str | None) -> None:
        self.alarms[subject] = sentence


class Vtn:
    """An operator with `openleadr`'s server; everything that its VEN says is kept."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.opts: dict[str, list[str]] = {}
        self.reported: dict[str, list[tuple[datetime, float]]] = {}
        self.statuses: list[dict[str, Any]] = []
        self.registered: list[str] = []

    async def start(self) -> None:
        self.server = OpenADRServer(
            vtn_id="VTN",
            http_host="127.0.0.1",
            http_port=self.port,
            requested_poll_freq=timedelta(seconds=1),
            show_server_cert_domain=False,
        )
        self.server.add_handler("on_create_party_registration", self._register)
        self.server.add_handler("on_register_report", self._take_reports)
        hooks.register("before_handle", self._see)
        await self.server.run_async()

    async def stop(self) -> None:
        hooks.HOOKS["before_handle"].remove(self._see)
        await self.server.stop()

    async def _register(self, info: dict[str, Any]) -> tuple[str, str]:
        self.registered.append(info["ven_name"])
        return info.get("ven_id") or VEN_ID, "registration-1"

    def _take_reports(self, report: dict[str, Any]) -> list[Any]:
        def taker(r_id: str) -> Any:
            return lambda data: self.reported.setdefault(r_id, []).extend(data)

        return [(one["r_id"], taker(one["r_id"]), timedelta(seconds=2)) for one in report["report_descriptions"]]

    async def _see(self, kind: str, payload: dict[str, Any]) -> None:
        """Statuses are read here: the handler of `openleadr`'s VTN knows floats only."""
        if kind == "oadrUpdateReport":
            for report in payload["reports"]:
                found = [interval["report_payload"] for interval in report["intervals"]]
                self.statuses += [one for one in found if "payload_resource_status" in one]

    def send(
        self, event_id: str, *signals: Any, market: str = MARKET, version: int = 0, after: timedelta = timedelta(), test: bool = False
    ) -> None:
        """An event that starts now or later, for ten minutes."""
        start = datetime.now(UTC) + after
        for signal in signals:
            signal.intervals[0].dtstart = start  # the VTN takes the active period from there
        event = objects.Event(
            event_descriptor=objects.EventDescriptor(
                event_id=event_id, modification_number=version, market_context=market, event_status="far", priority=1, test_event=test
            ),
            event_signals=list(signals),
            targets=[objects.Target(ven_id=VEN_ID)],
            active_period=objects.ActivePeriod(dtstart=start, duration=timedelta(minutes=10)),
        )
        events = self.server.events.get(VEN_ID, [])
        events[:] = [one for one in events if one.event_descriptor.event_id != event_id]
        self.server.add_raw_event(VEN_ID, event, callback=self._opted)

    def _opted(self, ven_id: str, event_id: str, opt_type: str) -> None:
        self.opts.setdefault(event_id, []).append(opt_type)


def power(kilowatts: float, kind: str = "setpoint", name: str = "LOAD_DISPATCH") -> Any:
    interval = objects.Interval(dtstart=datetime.now(UTC), duration=timedelta(minutes=10), signal_payload=kilowatts)
    return objects.EventSignal(intervals=[interval], signal_name=name, signal_type=kind, signal_id="s", measurement=POWER)


def simple(level: int) -> Any:
    interval = objects.Interval(dtstart=datetime.now(UTC), duration=timedelta(minutes=10), signal_payload=level)
    return objects.EventSignal(intervals=[interval], signal_name="SIMPLE", signal_type="level", signal_id="s")


def world() -> Replay:
    """Twenty cars, at home since a minute, and it is now."""
    settings = msgspec.convert(SETTINGS, Settings)
    return Replay(settings, WorldSettings(stations=20, plant=PlantSettings.ideal()), 1, start_s=time.time() - 60.0).run(60.0)


def ven_settings(vtn: Vtn, **changes: Any) -> OpenAdr2Settings:
    url = f"http://127.0.0.1:{vtn.port}/OpenADR2/Simple/2.0b"
    return OpenAdr2Settings(vtn_url=url, ven_name="counterflow", retry_s=0.5, **changes)


async def until(what: Any, within_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < deadline_s, "it did not come"
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def running(ven: Ven) -> Any:
    task = asyncio.create_task(ven.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Story:
    """One run, told to several tests."""

    at: Replay
    side: Side
    vtn: Vtn
    seen: dict[str, Any]


@pytest.fixture(scope="module")
def story() -> Story:
    told = Story()
    told.at, told.vtn, told.seen = world(), Vtn(), {}
    told.side = Side(told.at)
    asyncio.run(_play(told))
    return told


async def _play(told: Story) -> None:
    at, side, vtn, seen = told.at, told.side, told.vtn, told.seen
    await vtn.start()
    try:
        async with running(Ven(side, ven_settings(vtn, simple_discharge_frac=(0.0, 0.25, 0.5, 1.0)))):
            await until(lambda: vtn.registered)
            for event_id, signals, market in (
                ("set-point", [simple(3), power(-50.0)], MARKET),
                ("charge-state", [power(80.0, name="CHARGE_STATE")], MARKET),
                ("too-much", [power(-500.0)], MARKET),
                ("elsewhere", [power(-10.0)], "http://market.example/other"),
            ):
                vtn.send(event_id, *signals, market=market)
            vtn.send("our-fault", power(-20.0), after=timedelta(hours=1))
            vtn.send("test", power(-20.0), after=timedelta(hours=2), test=True)
            await until(lambda: len(vtn.opts) == 6)
            at.run(60.0)
            seen["delivered_w"] = -sum(at.power_w[-10:]) / 10.0
            seen["orders"] = {record.order.key: record for record in side.standing("dr")}
            vtn.send("set-point", power(-30.0, "delta"), version=1)
            await until(lambda: len(vtn.opts["set-point"]) == 2)
            seen["changed"] = next(record for record in side.standing("dr") if record.order.key == "set-point")
            vtn.send("set-point", power(-900.0), version=2)
            await until(lambda: len(vtn.opts["set-point"]) == 3)
            seen["refused"] = next(record for record in side.standing("dr") if record.order.key == "set-point")
            seen["dispatches"] = [view.instruction for view in at.operations.dispatches()]
            vtn.send("level", simple(2))
            await until(lambda: "level" in vtn.opts)
            seen["level"] = next(record for record in side.standing("dr") if record.order.key == "level")
            vtn.server.cancel_event(VEN_ID, "level")
            await until(lambda: any(r.order.key == "level" and r.outcome is GridOutcome.WITHDRAWN for r in side.standing("dr")))
            await until(lambda: vtn.statuses and all(len(vtn.reported.get(f"dr/{one}", ())) > 1 for one in ("powerReal", "energyReal")))
    finally:
        await vtn.stop()


def test_a_set_point_is_carried_out_and_answered_with_opt_in(story: Story) -> None:
    assert story.vtn.opts["set-point"][0] == "optIn"
    record = story.seen["orders"]["set-point"]
    assert (record.outcome, record.order.steps[0].discharge_power_w) == (GridOutcome.ACCEPTED, 50_000.0)
    assert story.seen["delivered_w"] == pytest.approx(50_000.0, rel=0.05), "SIMPLE beside it is for others"


def test_what_cannot_be_carried_out_is_answered_with_opt_out_and_said_to_people(story: Story) -> None:
    for event_id, words in (
        ("charge-state", "Whether the pool can reach it is known only when the interval begins"),
        ("too-much", "asks for 500.0 kW, and may order at most 100.0 kW"),
        ("elsewhere", "of the market context 'http://market.example/other'"),
    ):
        assert story.vtn.opts[event_id] == ["optOut"]
        assert words in str(story.side.alarms[f"event {event_id}"])
    (nobodys,) = [entry for entry in story.at.operations.audit(0.0, 100) if entry.who == "openadr2"]
    assert (nobodys.action, nobodys.status, nobodys.sent) == ("order elsewhere", 404, {"market_context": "http://market.example/other"})
    for event_id in ("charge-state", "too-much"):
        assert story.seen["orders"][event_id].outcome is GridOutcome.REFUSED


def test_a_fault_of_ours_opts_out_of_that_event_alone(story: Story) -> None:
    assert story.vtn.opts["our-fault"] == ["optOut"]
    assert "could not be carried out: RuntimeError('a fault of ours')" in str(story.side.alarms["event our-fault"])


def test_a_test_event_is_answered_and_not_carried_out(story: Story) -> None:
    assert story.vtn.opts["test"] == ["optIn"], story.side.alarms["event test"]
    assert "test" not in story.seen["orders"]


def test_a_change_is_carried_out_and_one_that_cannot_be_takes_the_event_back(story: Story) -> None:
    assert story.vtn.opts["set-point"] == ["optIn", "optIn", "optOut"]
    assert story.seen["changed"].outcome is GridOutcome.CHANGED
    assert story.seen["changed"].order.mode is DispatchMode.RELATIVE
    assert story.seen["refused"].outcome is GridOutcome.WITHDRAWN
    live = {DispatchState.SCHEDULED, DispatchState.RUNNING}
    assert not [one for one in story.seen["dispatches"] if one.state in live], "optOut means that nothing of it is done"


def test_simple_levels_are_carried_out_by_the_table(story: Story) -> None:
    assert story.vtn.opts["level"][0] == "optIn"
    assert story.seen["level"].order.steps[0].discharge_power_w == 50_000.0


def test_usage_is_reported_in_the_sign_of_the_program(story: Story) -> None:
    powers, energies = story.vtn.reported["dr/powerReal"], story.vtn.reported["dr/energyReal"]
    assert {value for _, value in powers} == {-30_000.0}
    assert energies[0][1] == pytest.approx(-30_000.0 * 2.0 / 3_600.0, rel=0.02), "two seconds of it"
    times = [at for at, _ in powers]
    assert all(1.5 < (later - earlier).total_seconds() < 2.6 for earlier, later in pairwise(times))


def test_status_is_reported_as_a_resource_status_that_the_schema_allows(story: Story) -> None:
    status = story.vtn.statuses[0]
    assert status["r_id"] == "dr/status"
    assert status["payload_resource_status"] == {"online": True, "manual_override": False}


def test_the_ven_id_that_the_vtn_gave_is_kept(story: Story) -> None:
    assert story.side.notes(Wire.OPENADR2)["ven_id"] == VEN_ID
    assert story.vtn.registered == ["counterflow"]


def test_a_vtn_that_is_away_is_told_and_found_again_and_its_list_counts() -> None:
    """It comes up late; a restarted VEN gets the list; what is not in it any more was taken back."""

    async def play() -> None:
        at, vtn = world(), Vtn()
        side = Side(at)
        async with running(Ven(side, ven_settings(vtn, resync_s=0.5, lost_after_s=1.0))):
            await until(lambda: "cannot be reached: ClientConnectorError: Cannot connect" in str(side.alarms.get(LINK)))
            await vtn.start()
            try:
                await until(lambda: vtn.registered)
                vtn.send("kept", power(-20.0))
                vtn.send("gone", power(-10.0), after=timedelta(hours=1))
                await until(lambda: len(vtn.opts) == 2)
                await until(lambda: side.alarms[LINK] is None)
                events = vtn.server.events[VEN_ID]
                events[:] = [one for one in events if one.event_descriptor.event_id != "gone"]
                await until(lambda: any(r.order.key == "gone" and r.outcome is GridOutcome.WITHDRAWN for r in side.standing("dr")))
                kept = [record for record in side.standing("dr") if record.order.key == "kept"]
                assert [(one.outcome, one.revision) for one in kept] == [(GridOutcome.ACCEPTED, 1)]
            finally:
                await vtn.stop()
            await until(lambda: "has not answered for" in str(side.alarms[LINK]))
            assert [record.outcome for record in side.standing("dr") if record.order.key == "kept"] == [GridOutcome.ACCEPTED]

    asyncio.run(play())
