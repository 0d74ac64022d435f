"""The world on its virtual clock: repeatable, honest about lines, and at one with the CSMS side of the OCPP adapter."""

import hashlib
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import msgspec
import pytest

from counterflow.adapters.ocpp.csms import AuthorizationAnswer, BootAnswer, BootStatus, Csms, NeedsAnswer
from counterflow.adapters.ocpp.settings import OcppSettings
from counterflow.domain.commands import ClearProfile, PlaceDischarge, PlaceFallback
from counterflow.domain.ids import EvseId, ProfileId, SessionUid, StationId, TransactionId
from counterflow.domain.resources import ControlMode
from counterflow.domain.setpoints import Accepted
from counterflow.domain.telemetry import (
    CapabilitiesDiscovered,
    ChargingNeedsReported,
    CommandCompleted,
    EventKind,
    StationWarned,
    TransactionReported,
)
from counterflow.sim.settings import PlantSettings, WorldSettings
from counterflow.sim.world import World

START_S = 1_800_000_000.0


def quiet(stations: int, **changes: Any) -> WorldSettings:
    """No losses, no attrition; all else as in the reference plant."""
    plant = PlantSettings(attrition_per_h=0.0, command_loss=0.0, meter_loss=0.0, deaf_share=0.0, derated_share=0.0)
    return WorldSettings(stations=stations, plant=plant, **changes)


class Recorder:
    """Hashes every frame that reaches a CSMS, with its time."""

    def __init__(self, csms: Any) -> None:
        self._csms, self._hash = csms, hashlib.sha256()

    def received(self, station_id: str, text: bytes, now_s: float) -> None:
        self._hash.update(f"{now_s!r} {station_id} ".encode() + text)
        self._csms.received(station_id, text, now_s)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._csms, name)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


def test_the_same_seed_gives_the_same_run_byte_for_byte_and_another_seed_another(tiny_csms: Callable[[], Any]) -> None:
    digests = []
    for seed in (1, 1, 2):
        recorder = Recorder(tiny_csms())
        world = World(recorder, WorldSettings(stations=20), seed, START_S)
        world.at(START_S + 100, lambda world=world: world.drop_out(0.2, 0.5))
        world.at(START_S + 120, lambda world=world: world.cut("SIM-00003", 30.0))
        world.run_until(START_S + 300)
        digests.append(recorder.digest)
    assert digests[0] == digests[1] != digests[2]


def test_in_pieces_or_in_one_go_the_run_is_the_same(tiny_csms: Callable[[], Any]) -> None:
    whole, pieces = (Recorder(tiny_csms()) for _ in range(2))
    World(whole, WorldSettings(stations=10), 1, START_S).run_until(START_S + 200)
    world = World(pieces, WorldSettings(stations=10), 1, START_S)
    for second in range(201):
        world.run_until(START_S + second)
    assert whole.digest == pieces.digest


def test_every_station_connects_boots_and_meters(tiny_csms: Callable[[], Any]) -> None:
    csms = tiny_csms()
    world = World(csms, quiet(50), 1, START_S)
    world.run_until(START_S + 10.0)
    assert all(station.booted and station.sessions == 1 for station in world.stations)
    csms.requests.clear()
    world.run_until(START_S + 110.0)
    assert len([one for one in csms.events("Updated") if one.trigger_reason == "MeterValuePeriodic"]) == pytest.approx(500, abs=25)
    assert world.true_power_w() == pytest.approx(float(world.power_w.sum()))
    assert csms.sessions["SIM-00001"].violations == 0


def test_frames_in_flight_are_lost_when_a_line_breaks_and_the_station_brings_them_later(tiny_csms: Callable[[], Any]) -> None:
    csms = tiny_csms()
    world = World(csms, quiet(5, line_latency_s=0.5), 1, START_S)
    world.run_until(START_S + 60.0)
    world.cut_all(45.0)
    csms.requests.clear()
    world.run_until(START_S + 104.0)
    assert csms.requests == []
    assert len(csms.closed_lines) == 5
    world.run_until(START_S + 160.0)
    for station in world.stations:
        events = [one for _, who, action, one in csms.requests if who == station.station_id and action == "TransactionEvent"]
        numbers = [one.seq_no for one in events]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert sum(one.offline is True for one in events) >= 4
    assert not any(action == "BootNotification" for _, _, action, _ in csms.requests)


def test_a_station_that_is_reset_comes_back_by_itself_and_boots(tiny_csms: Callable[[], Any]) -> None:
    csms = tiny_csms()
    world = World(csms, quiet(1), 1, START_S)
    world.run_until(START_S + 30.0)
    csms.requests.clear()
    world.at(START_S + 31.0, lambda: csms.call("SIM-00001", "Reset", {"type": "Immediate"}, START_S + 31.0))
    world.run_until(START_S + 60.0)
    assert [action for _, _, action, _ in csms.requests].count("BootNotification") == 1
    assert csms.closed_lines == [("SIM-00001", "reset")]


def test_the_csms_is_woken_when_it_is_due(tiny_csms: Callable[[], Any]) -> None:
    csms, woken = tiny_csms(), []
    for second in (1.0, 2.5, 4.0):
        csms.at(START_S + second, woken.append)
    World(csms, quiet(2), 1, START_S).run_until(START_S + 5.0)
    assert woken == [START_S + 1.0, START_S + 2.5, START_S + 4.0]


def test_attrition_empties_the_fleet_partly_without_a_word(tiny_csms: Callable[[], Any]) -> None:
    csms = tiny_csms()
    settings = WorldSettings(stations=200, plant=PlantSettings(attrition_per_h=2.0))
    world = World(csms, settings, 1, START_S)
    world.run_until(START_S + 600.0)
    gone = [station for station in world.stations if station.sessions == 0]
    silent = [station for station in gone if station.state.first_evse.silent]
    assert len(gone) == pytest.approx(200 * (1 - 2.718 ** (-2 / 6)), abs=15)
    assert 3 <= len(silent) <= 22
    assert len(csms.events("Ended")) == len(gone) - len(silent)


# ---- with the CSMS side of the adapter


class Generous:
    """An answer policy that allows everything."""

    def boot(self, station_id: Any, identity: Any, now_s: float) -> BootAnswer:
        return BootAnswer(BootStatus.ACCEPTED, 3600)

    def refuse_signing(self, station_id: Any, csr: str, kind: str, now_s: float) -> str | None:
        return "This server signs no certificates."

    def authorize(self, station_id: Any, id_token: str, token_type: str, evccid: str, now_s: float) -> AuthorizationAnswer:
        assert evccid
        return AuthorizationAnswer("Accepted", ("DC", "DC_BPT", "AC_three_phase", "AC_BPT"))

    standing = authorize

    def ev_plan(self, station_id: Any, evse_id: int, plan: Any, tolerant: bool, now_s: float) -> None:
        return None

    def needs(self, event: ChargingNeedsReported, now_s: float) -> NeedsAnswer:
        return NeedsAnswer.ACCEPTED

    def pull_setpoint(self, station_id: Any, profile_id: Any, now_s: float) -> float | None:
        return None


class CsmsInWorld:
    """`Csms` behind `CsmsSide`, its events kept."""

    def __init__(self) -> None:
        ids = count()
        self.csms = Csms(OcppSettings(), Generous(), lambda: f"c{next(ids)}")
        self.happened: list[Any] = []

    def opened(self, station_id: str, subprotocol: str, now_s: float) -> None:
        self.happened += self.csms.open(StationId(station_id), subprotocol, now_s)

    def received(self, station_id: str, text: bytes, now_s: float) -> None:
        self.happened += self.csms.receive(StationId(station_id), text, now_s)

    def closed(self, station_id: str, now_s: float, reason: str) -> None:
        self.happened += self.csms.close(StationId(station_id), now_s, reason)

    def advance(self, now_s: float) -> None:
        self.happened += self.csms.on_deadline(now_s)

    def next_due_s(self) -> float | None:
        return self.csms.next_deadline_s()

    def take_outbox(self) -> Sequence[tuple[str, bytes]]:
        return [(out.station_id, out.text) for out in self.csms.take_outbox()]

    def of(self, kind: type[Any]) -> list[Any]:
        return [one for one in self.happened if isinstance(one, kind)]


def test_the_adapters_csms_discovers_dispatches_meters_and_clears_the_fleet_without_a_complaint_on_either_side() -> None:
    side = CsmsInWorld()
    world = World(side, quiet(20), 1, START_S)
    world.run_until(START_S + 60.0)
    found = side.of(CapabilitiesDiscovered)
    assert {one.evses[0].control_mode for one in found} <= {ControlMode.SETPOINT, ControlMode.DYNAMIC}
    assert len(found) == 20
    assert all(one.refusals == () and one.meter_interval_s == 10.0 for one in found)
    assert len([one for one in side.of(ChargingNeedsReported) if one.bidirectional and one.dynamic_control]) == 20

    free = [station for station in world.stations if station.state.first_evse.stay_s > 7_200.0]
    started = {one.station_id: one for one in side.of(TransactionReported) if one.kind is EventKind.STARTED}

    def place() -> None:
        for number, station in enumerate(free):
            common = {
                "station_id": StationId(station.station_id),
                "evse_id": EvseId(1),
                "transaction_id": TransactionId(started[station.station_id].transaction_id),
                "session_uid": SessionUid(number + 1),
                "start_s": world.now_s,
            }
            fallback = PlaceFallback(**common, profile_id=ProfileId(2_000 + number), stack_level=7, charge_power_w=3_000.0)
            power_w = -0.8 * float(world.fleet.plant.max_power_w[station.state.first_evse.row])
            discharge = PlaceDischarge(
                **common,
                profile_id=ProfileId(1_000 + number),
                stack_level=8,
                power_w=power_w,
                discharge_until_s=world.now_s + 300,
                hold_until_s=world.now_s + 330,
                control_mode=ControlMode.SETPOINT,
                max_offline_s=60,
            )
            for command in (fallback, discharge):
                side.happened += side.csms.submit(command, world.now_s)

    world.at(START_S + 61.0, place)
    world.run_until(START_S + 120.0)
    assert [type(one.result) for one in side.of(CommandCompleted)] == [Accepted] * (2 * len(free))
    assert world.fleet.violations() == []
    asked_w = sum(0.8 * float(world.fleet.plant.max_power_w[station.state.first_evse.row]) for station in free)
    delivered_w = -sum(float(world.power_w[station.state.first_evse.row]) for station in free)
    assert 0.9 * asked_w < delivered_w < asked_w

    side.happened.clear()
    world.run_until(START_S + 140.0)
    metered = {one.station_id: one.measurements[-1].power_w for one in side.of(TransactionReported) if one.measurements}
    assert -sum(metered[station.station_id] for station in free) == pytest.approx(delivered_w, rel=0.02)

    def clear() -> None:
        for number, station in enumerate(free):
            for profile_id in (1_000 + number, 2_000 + number):
                command = ClearProfile(
                    station_id=StationId(station.station_id), profile_id=ProfileId(profile_id), session_uid=SessionUid(number + 1)
                )
                side.happened += side.csms.submit(command, world.now_s)

    world.at(START_S + 400.0, clear)
    world.run_until(START_S + 410.0)
    assert world.fleet.remaining_profiles() == []
    assert world.fleet.violations() == []
    assert side.of(StationWarned) == []
    assert side.csms.counters.violations == side.csms.counters.call_errors == side.csms.counters.salvaged == 0


def test_settings_refuse_what_they_do_not_know() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"stations": 3, "station_count": 4}, WorldSettings)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"plant": {"meter_loss": 2.0}}, WorldSettings)
