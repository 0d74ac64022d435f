"""A day in the life (issue "The grid operator's side"): offer, order by OpenADR, stream by IEC 104, and all that goes wrong in between.

The same adapters as in the server, on the virtual clock: the VEN talks to our VTN without a socket, the outstation is driven below its own.
`docs/day-in-the-life.md` tells the same day.
"""

import asyncio
from pathlib import Path
from random import Random
from typing import Any, cast

import httpx
import msgspec
import pytest

from counterflow.adapters.iec104.commands import SetpointCommand
from counterflow.adapters.iec104.outstation import Outstation
from counterflow.adapters.iec104.settings import Iec104Settings
from counterflow.adapters.openadr import models
from counterflow.adapters.openadr.client import VtnClient
from counterflow.adapters.openadr.models import Version
from counterflow.adapters.openadr.report_settings import ReportSettings
from counterflow.adapters.openadr.reporting import Reporting
from counterflow.adapters.openadr.settings import FollowedProgram, VtnSettings
from counterflow.adapters.openadr.ven import Ven
from counterflow.adapters.openadr.wire import our_name
from counterflow.domain.delivery import DeliveryReport, SessionDelivery
from counterflow.domain.grid import GridOutcome
from counterflow.domain.instructions import DispatchState
from counterflow.domain.offers import Commitment, CommitmentState, Offer
from counterflow.engine.settlement.verifying import differences, remade
from counterflow.sim.vtn.serving import OPERATOR, VEN, build

PROGRAMS: dict[str, Any] = {
    "programs": [
        {"name": "congestion", "wire": "openadr", "sign": "load", "unit": "kW", "max_discharge_power_w": 400_000.0},
        {
            "name": "afrr", "wire": "iec104", "sign": "generator", "unit": "kW", "max_discharge_power_w": 100_000.0,
            "stream_timeout_s": 12.0, "stream_hold_s": 20.0, "stream_ramp_down_s": 40.0,
        },
    ]
}  # fmt: skip
OUTSTATION = msgspec.convert({"stations": [{"program": "afrr"}]}, Iec104Settings)
WINDOW_S = 900.0
MINUTE_S = 60.0


class Vtn:
    """The operator's VTN, and the line to it."""

    def __init__(self, at: Any, secret: Path) -> None:
        self.at = at
        self.lost = False
        self._vtn = build("http://vtn.localhost", now_s=lambda: at.now_s, run="day")
        secret.write_text(f"{VEN.secret}\n")
        self.settings = VtnSettings(
            name="dso",
            url=self._vtn.url(Version.V3_1_0),
            programs=(FollowedProgram(program="congestion"),),
            client_id=VEN.client_id,
            client_secret_file=str(secret),
            missed_polls=3,
        )
        self.program = self.create(models.Program(program_name="congestion"))
        self.meet()

    def meet(self) -> None:
        """A process of ours begins: its VEN knows what the desk has kept, and nothing else."""
        self.client = VtnClient(self.settings, self.at.grid.now_s, transport=self, sleep=_at_once, random=Random(1))
        self.ven = Ven(self.settings, self.at.grid, self.client, random=Random(1))
        self.reporting = Reporting(our_name(self.settings), ReportSettings(), self.at.grid, self.client, self.ven.state)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The network."""
        if self.lost:
            raise httpx.ConnectTimeout("lost", request=request)
        return await httpx.ASGITransport(app=self._vtn.app).handle_async_request(request)

    async def aclose(self) -> None:
        """Nothing to give back."""

    def create(self, thing: Any) -> Any:
        """The operator makes an object."""
        return self._vtn.house.store.create(OPERATOR, thing, Version.V3_1_0)

    def order(self, power_kw: float, start_s: float) -> models.Event:
        """The operator asks for an export over a quarter of an hour, and for what was delivered, by the minute."""
        wishes = [models.ReportDescriptor(payload_type="USAGE", reading_type="SUMMED", units="KWH", report_intervals="SUB_INTERVALS")]
        event: models.Event = self.create(
            models.Event(
                program_id=self.program.id,
                event_name="congestion-1",
                interval_period=models.IntervalPeriod(start_s=start_s, duration_s=WINDOW_S),
                intervals=(models.Interval(id=0, payloads=(models.ValuesMap(type="DISPATCH_SETPOINT", values=(-power_kw,)),)),),
                report_descriptors=tuple(wishes),
            )
        )
        return event

    def reports(self) -> list[models.Report]:
        """What we have filed."""
        return list(self._vtn.house.store.all_of(models.Report))

    def step(self) -> None:
        """One poll, and whatever reports are due."""

        async def both() -> None:
            await self.ven.poll()
            await self.reporting.step()

        asyncio.run(both())


async def _at_once(_seconds: float) -> None:
    """No pause: the clock is virtual."""


class Day:
    """One day, chapter by chapter; each begins where the one before has ended."""

    def __init__(self, at: Any, secret: Path) -> None:
        self.at = at
        self.start_s = (at.now_s // MINUTE_S + 5) * MINUTE_S
        self.end_s = self.start_s + WINDOW_S
        self.vtn = Vtn(at, secret)
        self.true_w: dict[float, dict[str, float]] = {}
        """What each car truly gave in each second of the window, by its station."""
        at.each_second.append(self._look)

    def _look(self) -> None:
        if self.start_s < self.at.now_s <= self.end_s:
            powers_w = zip(self.at.world.stations, self.at.world.power_w, strict=True)
            self.true_w[self.at.now_s] = {station.station_id: -float(power_w) for station, power_w in powers_w}

    def truly_wh(self, one: SessionDelivery) -> float:
        """What a car gave while it was in the dispatch; one that was cut off went on, and its meter has told so since."""
        left_s = self.end_s if one.left_s is None or one.drop_out == "offline" else one.left_s
        return sum(power_w[one.station_id] for at_s, power_w in self.true_w.items() if one.joined_s < at_s <= left_s) / 3600.0

    def pass_until(self, at_s: float) -> None:
        """Time passes; the VEN polls every ten seconds."""
        while self.at.now_s < at_s:
            self.at.run(min(10.0, at_s - self.at.now_s))
            self.vtn.step()

    def alarms(self) -> list[str]:
        """What the staff sees."""
        return list(self.at.operations.health().alarms)

    def dispatch(self) -> Any:
        """The one that OpenADR ordered."""
        (view,) = [view for view in self.at.operations.dispatches() if view.instruction.ordered_by == "openadr:congestion"]
        return view

    def commitment(self) -> Commitment:
        """What was promised in the morning."""
        (found,) = self.at.operations.commitments()
        one: Commitment = found
        return one

    def report(self) -> DeliveryReport:
        """As the server settles it."""
        report = asyncio.run(self.at.operations.report(self.dispatch().instruction.dispatch_id))
        assert isinstance(report, DeliveryReport)
        self.at.room.dispatcher.commitments.settled(report)
        return report

    def filed_kwh(self) -> float:
        """What the operator has in his books, in his sign: an export is negative."""
        (report,) = self.vtn.reports()
        return sum(
            cast(float, value)
            for interval in report.resources[0].intervals
            for one in interval.payloads
            if one.type == "USAGE"
            for value in one.values
        )

    # --- the chapters ----------------------------------------------------------------------------------------------------------

    def offer_in_the_morning(self) -> None:
        told = asyncio.run(self.at.operations.offer("all", WINDOW_S, None, self.start_s))
        assert isinstance(told, Offer)
        assert 0.0 < told.power_w <= told.model_power_w
        promised = self.at.do(self.at.operations.commit(told.offer_id, 0.6 * told.power_w, "openadr:congestion"))
        assert promised.state is CommitmentState.COMMITTED
        self.promised_w = promised.power_w

    def order_by_openadr(self) -> None:
        self.vtn.order(self.promised_w / 1e3, self.start_s)
        self.pass_until(self.at.now_s + 10.0)
        (record,) = self.at.grid.standing("congestion")
        assert record.outcome is GridOutcome.ACCEPTED
        assert self.dispatch().feasibility.committed_power_w == pytest.approx(self.promised_w)
        assert self.commitment().state is CommitmentState.CALLED
        self.pass_until(self.start_s + 120.0)
        assert self.commitment().state is CommitmentState.DELIVERING
        assert self.at.delivered_w() == pytest.approx(self.promised_w, rel=0.04)

    def cars_drive_off(self) -> None:
        gone = self.at.world.drop_out(0.15, 0.5)
        assert gone
        self.pass_until(self.at.now_s + 60.0)
        assert self.at.delivered_w() == pytest.approx(self.promised_w, rel=0.05), "others stand in"

    def lose_the_vtn_and_die_in_mid_window(self) -> None:
        self.vtn.lost = True
        self.pass_until(self.at.now_s + 60.0)
        assert any("in a row brought nothing" in alarm for alarm in self.alarms())
        assert self.at.delivered_w() == pytest.approx(self.promised_w, rel=0.05), "what is known goes on"
        before = self.dispatch().instruction
        self.at.restart(away_s=3.0)
        self.vtn.meet()
        self.pass_until(self.at.now_s + 60.0)
        assert self.at.delivered_w() == pytest.approx(self.promised_w, rel=0.05), "a process that knows no VTN goes on, too"
        assert self.dispatch().instruction.dispatch_id == before.dispatch_id
        self.vtn.lost = False
        self.pass_until(self.at.now_s + 20.0)
        assert self.alarms() == []
        assert len(self.at.operations.dispatches()) == 1, "the event is known, and is no second order"

    def two_stations_fall_silent_before_the_end(self) -> None:
        self.pass_until(self.end_s - 120.0)
        by_power = sorted(zip(self.at.world.power_w, self.at.world.stations, strict=True), key=lambda pair: pair[0])
        for _, station in by_power[:2]:  # of those that give most
            self.at.world.cut(station.station_id, 600.0)
        self.pass_until(self.end_s + 180.0)
        assert self.dispatch().instruction.state is DispatchState.COMPLETED
        self.first = self.report()
        assert (self.first.final, self.first.version) == (True, 1)
        silent = [lost for lost in self.first.drop_outs if lost.kind == "offline"]
        assert len(silent) == 2
        assert sum(lost.replaced_by for lost in silent) > 0, "others stand in; what these two gave nobody knows yet"
        assert self.filed_kwh() == pytest.approx(-self.first.delivered_energy_wh / 1e3, abs=1e-9)

    def stream_by_iec_104(self) -> None:
        control = Outstation(self.at.grid, OUTSTATION, OUTSTATION.stations[0])

        def shown() -> dict[int, float]:
            return {reading.address: reading.value for reading in control.show().changed}

        for asked_kw in (20.0,) * 15 + (30.0,) * 15:
            assert self.at.do(control.command(SetpointCommand(value=asked_kw, said_at_s=self.at.now_s)))
            self.at.run(4.0)
        self.vtn.step()
        seen = shown()
        assert (seen[1002], seen[3002], seen[3011]) == (30.0, 1.0, 0.0)
        assert seen[2003] == pytest.approx(30.0, rel=0.05)
        self.at.run(50.0)
        seen = shown()
        assert seen[3011] == 1.0, "the control system says nothing any more"
        assert seen[2017] < 25.0, "and the dead-man lets go"
        self.pass_until(self.at.now_s + 60.0)
        assert shown()[2017] == 0.0

    def late_meters_correct_the_report(self) -> None:
        self.pass_until(self.end_s + 900.0)
        second = self.report()
        assert (second.final, second.version) == (True, 2)
        assert second.revision is not None
        assert second.revision.delivered_before_wh == self.first.delivered_energy_wh != second.delivered_energy_wh
        assert second.revision.sessions_changed >= 2
        self.pass_until(self.at.now_s + 300.0)
        assert self.vtn.reporting.counts["corrected"] == 1
        assert self.filed_kwh() == pytest.approx(-second.delivered_energy_wh / 1e3, abs=1e-9), "the operator has the same Wh"

    def settle_to_the_wh(self) -> None:
        report, instruction = self.report(), self.dispatch().instruction
        for step_s in (4.0, MINUTE_S, WINDOW_S):
            edges_s = [self.start_s + number * step_s for number in range(round(WINDOW_S / step_s) + 1)]
            figures = asyncio.run(self.at.grid.intervals(instruction.dispatch_id, edges_s))
            assert sum(one.delivered_wh for one in figures) == report.delivered_energy_wh == int(report.delivered_energy_wh)
            assert {one.version for one in figures} == {2}
        assert sum(one.delivered_wh for one in report.sessions) == report.delivered_energy_wh
        truly_wh = sum(self.truly_wh(one) for one in report.sessions)
        assert report.delivered_energy_wh == pytest.approx(truly_wh, rel=0.003), "by the cars themselves"
        assert report.delivered_energy_wh == pytest.approx(self.promised_w * WINDOW_S / 3600.0, rel=0.05), "as promised in the morning"
        stored = self.at.operations_reporting.stored(instruction, report.generated_at_s)
        assert differences(report, remade(report, stored)) == ()
        done = self.commitment()
        assert done.state is CommitmentState.SETTLED
        (call,) = done.calls
        assert (call.dispatch_id, call.delivered_energy_wh) == (instruction.dispatch_id, report.delivered_energy_wh)
        assert (call.report_version, call.quality) == (report.version, report.quality)
        self.at.run(900.0)
        assert self.at.left_behind() == []


def test_a_day_in_the_life(town: Any, ideal: dict[str, Any], tmp_path: Path) -> None:
    day = Day(town(16, 81, plant=ideal, settings=PROGRAMS), tmp_path / "secret")
    day.offer_in_the_morning()
    day.order_by_openadr()
    day.cars_drive_off()
    day.lose_the_vtn_and_die_in_mid_window()
    day.two_stations_fall_silent_before_the_end()
    day.stream_by_iec_104()
    day.late_meters_correct_the_report()
    day.settle_to_the_wh()
