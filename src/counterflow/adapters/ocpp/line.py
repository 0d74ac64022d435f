"""One connected station: what it is allowed to do, what waits for it, and what is known of it while the line is open."""

from collections.abc import Iterable
from enum import Enum
from typing import Any, Final

from msgspec import Struct

from counterflow.adapters.ocpp.command_queue import CommandQueue
from counterflow.adapters.ocpp.discovery.dialogue import MAX_EVSES, Discovery, Errand
from counterflow.adapters.ocpp.discovery.talk import NO_ANSWER
from counterflow.adapters.ocpp.handlers.context import StationContext
from counterflow.adapters.ocpp.policy import BootStatus
from counterflow.adapters.ocpp.session import Session
from counterflow.adapters.ocpp.settings import OcppSettings
from counterflow.adapters.ocpp.versions import Version
from counterflow.domain.commands import Command, RawCall, RequestSample
from counterflow.domain.ids import EvseId
from counterflow.domain.records import DiscoveryRecord
from counterflow.domain.resources import ControlMode, EvseCapability


class Standing(Enum):
    """How far a station has come with BootNotification (B01 to B03). NEW = it has never booted here."""

    NEW = "new"
    PENDING = "pending"
    REJECTED = "rejected"
    ACCEPTED = "accepted"


STANDINGS: Final[dict[BootStatus, Standing]] = {
    BootStatus.ACCEPTED: Standing.ACCEPTED,
    BootStatus.PENDING: Standing.PENDING,
    BootStatus.REJECTED: Standing.REJECTED,
}

WHILE_PENDING: Final = frozenset(
    {"GetVariables", "SetVariables", "GetBaseReport", "GetReport", "TriggerMessage", "GetConfiguration", "ChangeConfiguration"}
)
"""What a CSMS may ask of a station that is Pending (B02.FR.02; OCPP 1.6, 4.2)."""


NO_EVSES: Final[frozenset[EvseId]] = frozenset()
NOTHING_INVITED: Final[frozenset[str]] = frozenset()
"""Shared: an empty set of its own would be the largest thing that most lines hold."""


class Line:
    """Mutable, one per open connection; the `Csms` is its only user. Slots, since there are thousands."""

    __slots__ = (
        "asked_for_boot",
        "asks_for_boot",
        "awaits_discovery",
        "awaits_reboot",
        "call_names_nobody",
        "car_evses",
        "closed",
        "context",
        "covered",
        "discovery",
        "errand",
        "evse_ids",
        "hands_off",
        "heap_at_s",
        "in_flight",
        "invited",
        "queue",
        "session",
        "standing",
        "station_id",
        "version",
        "with_needs",
    )

    def __init__(self, context: StationContext, session: Session, standing: Standing, version: Version) -> None:
        self.version = version
        self.station_id = context.station_id
        self.context = context
        self.session = session
        self.standing = standing
        self.queue = CommandQueue()
        self.evse_ids: list[EvseId] = [EvseId(1)]
        self.covered = 0  # how many of evse_ids the last discovery was about; 0 = none was
        self.discovery: Discovery | None = None
        self.errand: Errand | None = None
        """What somebody asked the next discovery to do."""
        self.awaits_reboot = False
        self.car_evses: frozenset[EvseId] = NO_EVSES
        """EVSEs that have words for their cars (ConnectedEV)."""
        self.with_needs: frozenset[EvseId] = NO_EVSES
        """EVSEs whose cars have announced their needs in the transactions that are open."""
        self.hands_off = False
        """The station has its own settings back: discovery reads only."""
        self.awaits_discovery = False
        self.in_flight = False
        self.call_names_nobody = False
        """The call that was written last is of a type that has no place for an identifier."""
        self.asks_for_boot = False
        self.asked_for_boot = False
        self.invited = NOTHING_INVITED
        self.heap_at_s: float | None = None
        self.closed = False

    def mention(self, evse_id: EvseId) -> None:
        """An EVSE that was not known is named by the station."""
        if len(self.evse_ids) < MAX_EVSES:
            self.evse_ids.append(evse_id)

    def is_idle(self) -> bool:
        """Nothing of ours waits to be sent. This is asked after every message of a station."""
        if self.discovery is not None or self.asks_for_boot or self.queue.waiting:
            return False
        known = self.covered >= len(self.evse_ids) and self.errand is None
        return known or self.awaits_discovery or self.standing is not Standing.ACCEPTED

    def wants_discovery(self) -> bool:
        """Something about the station has not been asked yet."""
        return self.standing is Standing.ACCEPTED and (self.covered < len(self.evse_ids) or self.errand is not None)

    def learn_again(self, errand: Errand | None = None) -> None:
        """What was learned is void; `errand` = what else to do while asking again."""
        self.covered = 0
        self.errand = errand

    def know(self, evses: Iterable[EvseCapability]) -> None:
        """What discovery has learned."""
        self.car_evses = frozenset(evse.evse_id for evse in evses if evse.names_cars) or NO_EVSES

    def next_errand(self) -> Errand:
        """What the discovery that begins now is for; one of the whole station looks at its cars as well."""
        errand, self.errand = self.errand, None
        if errand is None or (errand.look_at and self.covered < len(self.evse_ids)):
            return Errand(set_up=not self.hands_off)
        return errand

    def note_car(self, action: str, request: Any) -> None:
        """Where a car begins to charge that has announced no needs, its EVSE is asked for what it knows of it (R01)."""
        if action == "NotifyEVChargingNeeds":
            self.with_needs |= {EvseId(request.evse_id)}
        elif request.event_type == "Ended":
            self.with_needs = NO_EVSES
        elif request.trigger_reason == "ChargingStateChanged" and request.transaction_info.charging_state == "Charging":
            unknown = self.car_evses - self.with_needs
            if unknown and self.errand is None:
                self.errand = Errand(look_at=unknown)

    def deadline_s(self) -> float | None:
        """When something is due: the answer awaited, or the report that discovery awaits."""
        answer_s = self.session.next_deadline_s()
        report_s = None if self.discovery is None else self.discovery.report_deadline_s
        if answer_s is None or (report_s is not None and report_s < answer_s):
            return report_s
        return answer_s


def allowed(standing: Standing, command: Command) -> bool:
    """May we ask this of such a station? Rejected: nothing (B03.FR.03). Pending: what sets it up (B02.FR.02)."""
    if standing is Standing.ACCEPTED:
        return True
    if standing is not Standing.PENDING:
        return False
    return isinstance(command, RequestSample) or (isinstance(command, RawCall) and command.action in WHILE_PENDING)


def invited_by(action: str, request: Struct | dict[str, Any], from_station: frozenset[str]) -> frozenset[str]:
    """What a station that is not accepted may send because we asked for it (B02.FR.09)."""
    if action in ("GetBaseReport", "GetReport"):
        return frozenset({"NotifyReport"})
    if action != "TriggerMessage":
        return NOTHING_INVITED
    wanted = request.get("requestedMessage") if isinstance(request, dict) else getattr(request, "requested_message", None)
    return frozenset({wanted}) if isinstance(wanted, str) and wanted in from_station else NOTHING_INVITED


def needs_discovery(known: DiscoveryRecord, settings: OcppSettings, subprotocol: str) -> bool:
    """Is what was learned before incomplete or void, or told in another version, or was the sampling set to something else since?"""
    unfinished = any(
        capability.control_mode is ControlMode.UNKNOWN or capability.reason.startswith(NO_ANSWER) for capability in known.evses
    )
    asked_otherwise = not known.hands_off and known.set_up_for != settings.sampling_asked
    return unfinished or known.outdated != "" or known.subprotocol != subprotocol or asked_otherwise
