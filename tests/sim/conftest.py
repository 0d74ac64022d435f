"""Shared by the tests of the stand-in world: a small CSMS on a `Session` per station, and stations at hand."""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from msgspec import Struct

from counterflow.adapters.ocpp import messages as m
from counterflow.adapters.ocpp import rpc
from counterflow.adapters.ocpp.events import CallDone, IncomingCall
from counterflow.adapters.ocpp.session import Session
from counterflow.sim.fleet import Fleet
from counterflow.sim.settings import MixSettings, PlantSettings, StationSettings
from counterflow.sim.station import SimStation

START_S = 1_800_000_000.0
BOTH_WAYS = ["DC", "DC_BPT", "AC_three_phase", "AC_BPT"]


class TinyCsms:
    """Answers everything, allows everything, remembers everything; commands are given by `call`. Implements `CsmsSide`."""

    def __init__(self, *, allowed: list[str] | None = None, needs_status: str = "Accepted", keep: bool = True) -> None:
        self.allowed = BOTH_WAYS if allowed is None else allowed
        self.needs_status = needs_status
        self.boot_status = "Accepted"
        self.pulled_w: float | None = None
        self.keep = keep
        self.mute: set[str] = set()
        self.requests: list[tuple[float, str, str, Any]] = []
        self.done: list[tuple[float, str, CallDone]] = []
        self.closed_lines: list[tuple[str, str]] = []
        self.schedule: list[tuple[float, int, Callable[[float], None]]] = []
        self.sessions: dict[str, Session] = {}
        self._ids = count()
        self._outbox: list[tuple[str, bytes]] = []

    def opened(self, station_id: str, subprotocol: str, now_s: float) -> None:
        assert subprotocol == "ocpp2.1"
        self.sessions[station_id] = Session(incoming=m.FROM_STATION, new_message_id=lambda: f"c{next(self._ids)}", lenient=False)

    def received(self, station_id: str, text: bytes, now_s: float) -> None:
        session = self.sessions[station_id]
        for event in session.receive(text, now_s):
            if isinstance(event, IncomingCall):
                if self.keep:
                    self.requests.append((now_s, station_id, event.action, event.request))
                if event.action not in self.mute:
                    session.respond(event, self._answer(event.action, now_s))
            elif isinstance(event, CallDone):
                self.done.append((now_s, station_id, event))
        self._drain(station_id)

    def _answer(self, action: str, now_s: float) -> Struct:
        match action:
            case "BootNotification":
                return m.BootNotificationResponse(current_time=rpc.instant(now_s), interval=3600, status=self.boot_status)
            case "Authorize":
                info = m.IdTokenInfoType(status="Accepted")
                return (
                    m.AuthorizeResponse(id_token_info=info, allowed_energy_transfer=self.allowed)
                    if self.allowed
                    else m.AuthorizeResponse(id_token_info=info)
                )
            case "Heartbeat":
                return m.HeartbeatResponse(current_time=rpc.instant(now_s))
            case "NotifyEVChargingNeeds":
                return m.NotifyEVChargingNeedsResponse(status=self.needs_status)
            case "PullDynamicScheduleUpdate":
                if self.pulled_w is None:
                    return m.PullDynamicScheduleUpdateResponse(status="Rejected")
                update = m.ChargingScheduleUpdateType(setpoint=self.pulled_w)
                return m.PullDynamicScheduleUpdateResponse(status="Accepted", schedule_update=update)
            case _:
                return m.ACTIONS[action][1]()

    def call(self, station_id: str, action: str, payload: Struct | dict[str, Any], now_s: float) -> None:
        self.sessions[station_id].call(action, payload, now_s)
        self._drain(station_id)

    def closed(self, station_id: str, now_s: float, reason: str) -> None:
        self.closed_lines.append((station_id, reason))
        for event in self.sessions.pop(station_id).close(now_s):
            if isinstance(event, CallDone):
                self.done.append((now_s, station_id, event))

    def advance(self, now_s: float) -> None:
        while self.schedule and self.schedule[0][0] <= now_s:
            heapq.heappop(self.schedule)[2](now_s)

    def next_due_s(self) -> float | None:
        return self.schedule[0][0] if self.schedule else None

    def at(self, due_s: float, action: Callable[[float], None]) -> None:
        heapq.heappush(self.schedule, (due_s, next(self._ids), action))

    def take_outbox(self) -> list[tuple[str, bytes]]:
        outbox, self._outbox = self._outbox, []
        return outbox

    def _drain(self, station_id: str) -> None:
        self._outbox += [(station_id, frame) for frame in self.sessions[station_id].take_outbox()]

    def events(self, kind: str | None = None) -> list[m.TransactionEventRequest]:
        return [r for _, _, action, r in self.requests if action == "TransactionEvent" and (kind is None or r.event_type == kind)]

    def last(self) -> Any:
        outcome = self.done[-1][2].outcome
        return getattr(outcome, "response", outcome)


class Bench:
    """One station and a TinyCsms on a clock of their own; frames cross at once."""

    def __init__(self, csms: TinyCsms, settings: StationSettings, plant: PlantSettings, mix: MixSettings) -> None:
        self.csms = csms
        self.fleet = Fleet(1, "T", 7, plant, settings, mix)
        self.station: SimStation = self.fleet.stations[0]
        self.plant = self.fleet.plant
        self.evse = self.station.state.first_evse
        self.now_s = START_S
        self.connected = False

    def connect(self) -> None:
        self.connected = True
        self.csms.opened("T-00001", "ocpp2.1", self.now_s)
        self.station.connect(self.now_s)
        self.exchange()

    def cut(self) -> None:
        self.connected = False
        self.csms.closed("T-00001", self.now_s, "cut")
        self.station.disconnect(self.now_s)

    def exchange(self) -> None:
        while self.connected:
            up, down = self.station.take_outbox(), None
            for frame in up:
                self.csms.received("T-00001", frame, self.now_s)
            down = self.csms.take_outbox()
            for _, frame in down:
                self.station.receive(frame, self.now_s)
            if not up and not down:
                break

    def run(self, duration_s: float) -> None:
        end_s = self.now_s + duration_s
        while self.now_s < end_s:
            self.fleet.step_plant(self.now_s)
            self.now_s += 1.0
            self.station.step(self.now_s)
            self.exchange()

    def call(self, action: str, payload: Struct | dict[str, Any]) -> Any:
        self.csms.call("T-00001", action, payload, self.now_s)
        self.exchange()
        return self.csms.last()

    def begin(self) -> "Bench":
        self.connect()
        self.station.plug_in(self.now_s)
        self.exchange()
        return self

    @property
    def transaction_id(self) -> str:
        assert self.evse.transaction_id is not None
        return self.evse.transaction_id

    @property
    def power_w(self) -> float:
        return float(self.plant.power_w[0])


@pytest.fixture
def tiny_csms() -> type[TinyCsms]:
    """The class, so that a test can choose what it allows."""
    return TinyCsms


@pytest.fixture
def make_bench() -> Callable[..., Bench]:
    """A station whose ideal 11 kW car stands at 80 % with hours to spare, and its CSMS."""

    def make(csms: TinyCsms | None = None, *, plant: PlantSettings | None = None, mix: MixSettings | None = None, **station: Any) -> Bench:
        ample = MixSettings(
            sizes_w=(11_000.0,), size_shares=(1.0,), soc_min=0.8, soc_max=0.8, target_soc_min=0.6, target_soc_max=0.6,
            departure_min_s=36_000.0, departure_max_s=36_000.0, tight_share=0.0, dc_share=1.0,
        )  # fmt: skip
        return Bench(csms or TinyCsms(), StationSettings(**station), plant or PlantSettings.ideal(), mix or ample)

    return make


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """The same, connected, with its transaction under way."""
    return make_bench().begin()


@pytest.fixture
def discharge_profile() -> Callable[..., dict[str, Any]]:
    """SetChargingProfile with a CentralSetpoint TxProfile; `changes` go into the profile, `schedule` into its schedule."""

    def make(transaction_id: str, setpoint: float = -7000.0, *, now_s: float = START_S, profile_id: int = 1_000_001, stack_level: int = 8,
             duration: int | None = 900, schedule: dict[str, Any] | None = None, period: dict[str, Any] | None = None, evse_id: int = 1,
             **changes: Any) -> dict[str, Any]:  # fmt: skip
        one = (
            {"startPeriod": 0, "operationMode": "CentralSetpoint", "setpoint": setpoint} if period is None else {"startPeriod": 0, **period}
        )
        plan: dict[str, Any] = {"id": 1, "startSchedule": rpc.instant(now_s), "chargingRateUnit": "W", "chargingSchedulePeriod": [one]}
        if duration is not None:
            plan["duration"] = duration
        plan.update(schedule or {})
        profile = {
            "id": profile_id, "stackLevel": stack_level, "chargingProfilePurpose": "TxProfile", "chargingProfileKind": "Absolute",
            "transactionId": transaction_id, "chargingSchedule": [plan], **changes,
        }  # fmt: skip
        drop = [key for key, value in profile.items() if value is None]
        for key in drop:
            del profile[key]
        for key in [key for key, value in plan.items() if value is None]:
            del plan[key]
        return {"evseId": evse_id, "chargingProfile": profile}

    return make


@pytest.fixture
def fallback_profile(discharge_profile: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """The ChargingOnly profile that lies one level beneath."""

    def make(transaction_id: str, limit: float = 3000.0, **changes: Any) -> dict[str, Any]:
        fixed: dict[str, Any] = {"profile_id": 1_000_002, "stack_level": 7, "duration": None, "period": {"limit": limit}}
        return discharge_profile(transaction_id, **{**fixed, **changes})

    return make
