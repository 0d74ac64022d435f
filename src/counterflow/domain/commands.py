"""What we tell stations, imperative. The OCPP adapter turns each into one CALL (docs: life of a dispatch)."""

from enum import StrEnum
from typing import Any

from msgspec import Struct

from counterflow.domain.ids import EvseId, ProfileId, SessionUid, StationId, TransactionId
from counterflow.domain.resources import ControlMode
from counterflow.domain.setpoints import PowerStep, WattCurves


class PlaceDischarge(Struct, frozen=True, kw_only=True):
    """SetChargingProfile: run at `power_w` (<= 0) from `start_s` until `discharge_until_s`, hold 0 W until `hold_until_s`, then end.

    The end is part of the order: if everything else dies, the station falls to the fallback beneath (decisions 3, 4).

    With `watchdog_s` it is a Dynamic profile that `MoveSetpoint` moves: it lapses this long after the newest message about it, and at
    `discharge_until_s` whatever comes (K28). It knows no hold, so the two ends are the same.

    With the mode CHARGE_ONLY it is no discharge but a limit to charging: `power_w` >= 0 is the most that the car may draw until
    `hold_until_s`; no other order of ours stands beneath it, so that afterwards the car charges as it did before.
    """

    station_id: StationId
    evse_id: EvseId
    transaction_id: TransactionId
    session_uid: SessionUid
    profile_id: ProfileId
    stack_level: int
    power_w: float
    start_s: float
    discharge_until_s: float
    hold_until_s: float
    control_mode: ControlMode
    max_offline_s: int | None = None
    urgent: bool = False
    reason: str = ""
    watchdog_s: int | None = None
    pull_every_s: int | None = None
    """A Dynamic profile that the station asks for by itself, this often (dynUpdateInterval)."""
    curves: WattCurves | None = None
    """The station itself finds its power by these; `power_w` is the strongest discharge that they can ask for."""
    path: str = ""
    """The control path that the curves are for."""
    ampere_phases: int | None = None
    """CHARGE_ONLY: the limit is told in A over so many phases; None = in W."""
    phases: int | None = None
    """The car charges on so many phases of an AC EVSE; None = DC, or as the station takes it to be (three)."""
    later: tuple[PowerStep, ...] = ()
    """Further periods of the discharge, in the order of time, after the start and before its end (ScheduledControl)."""

    @property
    def reduces(self) -> bool:
        """It is a limit to charging."""
        return self.control_mode is ControlMode.CHARGE_ONLY


class MoveSetpoint(Struct, frozen=True, kw_only=True):
    """UpdateDynamicSchedule: another `power_w` (<= 0) for the Dynamic profile that stands; its watchdog starts anew, its end stays.

    `is_refresh`: the power is the one in force; only the watchdog matters.
    """

    station_id: StationId
    evse_id: EvseId
    transaction_id: TransactionId
    session_uid: SessionUid
    profile_id: ProfileId
    power_w: float
    discharge_until_s: float
    hold_until_s: float
    watchdog_s: int
    urgent: bool = False
    reason: str = ""
    is_refresh: bool = False


class PlaceFallback(Struct, frozen=True, kw_only=True):
    """SetChargingProfile, ChargingOnly, one level below: what the car does when the discharge profile is gone (decisions 4)."""

    station_id: StationId
    evse_id: EvseId
    transaction_id: TransactionId
    session_uid: SessionUid
    profile_id: ProfileId
    stack_level: int
    charge_power_w: float
    start_s: float
    phases: int | None = None
    """As in PlaceDischarge."""


class ClearProfile(Struct, frozen=True, kw_only=True):
    """ClearChargingProfile by our id, never by criteria."""

    station_id: StationId
    profile_id: ProfileId
    session_uid: SessionUid
    urgent: bool = False


class RequestSample(Struct, frozen=True, kw_only=True):
    """TriggerMessage(TransactionEvent): a fresh sample, please."""

    station_id: StationId
    evse_id: EvseId


class ReadTransaction(Struct, frozen=True, kw_only=True):
    """GetTransactionStatus: is it still going on, and is something of it still to come? (E14)"""

    station_id: StationId
    transaction_id: TransactionId
    session_uid: SessionUid


class ReadProfiles(Struct, frozen=True, kw_only=True):
    """GetChargingProfiles: everything that is installed at the station, whoever placed it."""

    station_id: StationId
    request_id: int


class ReadComposite(Struct, frozen=True, kw_only=True):
    """GetCompositeSchedule in W: what the station would do at this EVSE over the coming `duration_s`."""

    station_id: StationId
    evse_id: EvseId
    duration_s: int


class ReadDerLimits(Struct, frozen=True, kw_only=True):
    """GetDERControl, LimitMaxDischarge: what the inverter's grid code allows of a discharge."""

    station_id: StationId
    request_id: int


class SendSignal(Struct, frozen=True, kw_only=True):
    """AFRRSignal: a number that every EVSE of the station looks up in the curve of its profile (Q08)."""

    station_id: StationId
    signal: int
    at_s: float


class OfferTransfer(Struct, frozen=True, kw_only=True):
    """NotifyAllowedEnergyTransfer: a session that began charging only may be renegotiated to these transfers (Q01, 3.3)."""

    station_id: StationId
    transaction_id: TransactionId
    session_uid: SessionUid
    transfers: tuple[str, ...]


class RawCall(Struct, frozen=True, kw_only=True):
    """Any OCPP request, as a person typed it; `token` finds the asker again."""

    station_id: StationId
    action: str
    payload: dict[str, Any]
    token: int


Command = (
    PlaceDischarge
    | MoveSetpoint
    | PlaceFallback
    | ClearProfile
    | RequestSample
    | ReadTransaction
    | ReadProfiles
    | ReadComposite
    | ReadDerLimits
    | SendSignal
    | OfferTransfer
    | RawCall
)


class ProfileKind(StrEnum):
    """The two kinds of profile that we place."""

    DISCHARGE = "discharge"
    FALLBACK = "fallback"
