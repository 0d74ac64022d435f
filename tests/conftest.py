"""A CSMS on a desk: no socket, no clock. A test plays the station by hand, says what time it is, and sees what happened."""

import itertools
import json
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import pytest

from counterflow.adapters.ocpp import messages
from counterflow.adapters.ocpp.csms import AuthorizationAnswer, BootAnswer, BootStatus, Csms, NeedsAnswer
from counterflow.adapters.ocpp.settings import OcppSettings
from counterflow.domain.commands import Command
from counterflow.domain.ids import EvseId, ProfileId, StationId
from counterflow.domain.records import DiscoveryRecord
from counterflow.domain.resources import ControlMode, EvseCapability, StationIdentity
from counterflow.domain.telemetry import ChargingNeedsReported, StationEvent

Frame = list[Any]
E = TypeVar("E")
NOON_S = 1_795_348_800.0
BOOT = {"reason": "PowerUp", "chargingStation": {"model": "M1", "vendorName": "Acme", "firmwareVersion": "1.0"}}


class Policy:
    """Says yes to all; the fields change its mind, and `asked` remembers."""

    def __init__(self) -> None:
        self.boot_status = BootStatus.ACCEPTED
        self.token_status = "Accepted"
        self.transfers: tuple[str, ...] | None = None
        self.needs_answer = NeedsAnswer.NO_PROFILE
        self.setpoint_w: float | None = None
        self.failure: Exception | None = None
        self.asked: list[Any] = []

    def boot(self, station_id: StationId, identity: StationIdentity, now_s: float) -> BootAnswer:
        if self.failure is not None:
            raise self.failure
        return BootAnswer(self.boot_status, 300)

    def authorize(self, station_id: StationId, id_token: str, token_type: str, evccid: str, now_s: float) -> AuthorizationAnswer:
        self.asked.append((id_token, token_type, evccid))
        return AuthorizationAnswer(self.token_status, self.transfers)

    def needs(self, event: ChargingNeedsReported, now_s: float) -> NeedsAnswer:
        return self.needs_answer

    def pull_setpoint(self, station_id: StationId, profile_id: ProfileId, now_s: float) -> float | None:
        return self.setpoint_w


class Desk:
    """`events` is what happened, oldest first; `calls(station)` what the CSMS asks and has no answer to yet."""

    def __init__(self, settings: OcppSettings) -> None:
        self.now_s = NOON_S
        self.policy = Policy()
        self.csms = Csms(settings, self.policy, map("m{}".format, itertools.count()).__next__)
        self.events: list[StationEvent] = []
        self._ids = map("s{}".format, itertools.count())
        self._answers: dict[tuple[str, str], Frame] = {}
        self._calls: dict[str, list[Frame]] = {}

    def open(self, station: str = "S1", *, known: DiscoveryRecord | None = None) -> None:
        self._calls.pop(station, None)  # whatever an older connection was asked is void
        self._took(self.csms.open(StationId(station), "ocpp2.1", self.now_s, known))

    def open_known(self, station: str = "S1", evses: int = 1) -> None:
        """A station that was accepted and discovered before."""
        capability = [
            EvseCapability(evse_id=EvseId(number + 1), control_mode=ControlMode.SETPOINT, reason="known") for number in range(evses)
        ]
        identity = StationIdentity(vendor_name="Acme", model="M1", firmware_version="1.0")
        self.open(station, known=DiscoveryRecord(station_id=StationId(station), identity=identity, evses=tuple(capability)))

    def close(self, station: str = "S1", reason: str = "gone") -> None:
        self._calls.pop(station, None)
        self._took(self.csms.close(StationId(station), self.now_s, reason))

    def raw(self, text: bytes, station: str = "S1") -> None:
        self._took(self.csms.receive(StationId(station), text, self.now_s))

    def says(self, action: str, payload: dict[str, Any], station: str = "S1") -> Frame:
        """The station sends a CALL; returns the answer frame."""
        message_id = next(self._ids)
        self.raw(json.dumps([2, message_id, action, payload]).encode(), station)
        return self._answers.pop((station, message_id))

    def boot(self, station: str = "S1") -> Frame:
        return self.says("BootNotification", BOOT, station)

    def calls(self, station: str = "S1") -> list[Frame]:
        return self._calls.get(station, [])

    def call(self, station: str = "S1") -> tuple[str, dict[str, Any]]:
        """Action and payload of the one CALL in flight."""
        [frame] = self.calls(station)
        return frame[2], frame[3]

    def answer(self, payload: dict[str, Any], station: str = "S1") -> None:
        frame = self._calls[station].pop(0)
        self.raw(json.dumps([3, frame[1], payload]).encode(), station)

    def refuse(self, code: str = "NotSupported", text: str = "", station: str = "S1") -> None:
        frame = self._calls[station].pop(0)
        self.raw(json.dumps([4, frame[1], code, text, {}]).encode(), station)

    def ignore(self, station: str = "S1") -> Frame:
        """The call in flight will not be answered."""
        return self._calls[station].pop(0)

    def submit(self, command: Command) -> None:
        self._took(self.csms.submit(command, self.now_s))

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self._took(self.csms.on_deadline(self.now_s))

    def happened(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def _took(self, events: list[StationEvent]) -> None:
        self.events += events
        for outgoing in self.csms.take_outbox():
            frame = json.loads(outgoing.text)
            assert outgoing.is_call == (frame[0] == 2)
            if outgoing.is_call:
                msgspec.convert(frame[3], messages.ACTIONS[frame[2]][0])  # strict in sending
                waiting = self._calls.setdefault(outgoing.station_id, [])
                waiting.append(frame)
                assert len(waiting) == 1, "two CALLs in flight"
            else:
                self._answers[outgoing.station_id, frame[1]] = frame


@pytest.fixture
def desk() -> Desk:
    """A CSMS with default settings."""
    return Desk(OcppSettings())


@pytest.fixture
def desk_with() -> Callable[..., Desk]:
    """`desk_with(discovery_parallel=2)`: a CSMS with other settings."""
    return lambda **settings: Desk(OcppSettings(**settings))
