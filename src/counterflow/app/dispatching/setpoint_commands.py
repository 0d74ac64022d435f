"""One setpoint on its way to a session, and the commands that it becomes."""

from typing import Annotated, Literal, Self

from msgspec import Meta, Struct
from msgspec.structs import replace

from counterflow.domain.commands import MoveSetpoint, PlaceDischarge, PlaceFallback
from counterflow.domain.ids import EvseId, ProfileId, SessionUid, StationId, TransactionId
from counterflow.domain.instructions import DispatchInstruction
from counterflow.domain.resources import ControlMode
from counterflow.domain.setpoints import PowerStep, WattCurves, power_at, strongest_w
from counterflow.engine.control.paths import moves


class PlacingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How profiles are written."""

    start_lead_s: Annotated[
        float,
        Meta(
            description="A schedule that begins now is dated this far back, so that a slow station clock still starts it.",
            extra={"unit": "s"},
            ge=0,
        ),
    ] = 5.0
    max_offline_s: Annotated[
        int,
        Meta(description="maxOfflineDuration of discharge profiles, where the station supports it.", extra={"unit": "s"}, ge=1),
    ] = 60
    timeout_retries: Annotated[
        int,
        Meta(description="How often an order whose outcome is unknown is sent again before the session rests.", extra={"unit": "-"}, ge=0),
    ] = 1
    control_path: Annotated[
        Literal["auto", "absolute", "dynamic"],
        Meta(
            description="Dynamic profiles (where a station has them): when the target moves, never, or for every dispatch.",
            extra={"unit": "-"},
        ),
    ] = "auto"
    moving_gap_s: Annotated[
        float,
        Meta(description="A target that changes more often than this is one that moves.", extra={"unit": "s"}, gt=0),
    ] = 30.0
    watchdog_s: Annotated[
        float,
        Meta(
            description="A Dynamic profile lapses this long after the newest message, ±20 % by session; it is refreshed at a third of it.",
            extra={"unit": "s"},
            ge=30,
            le=3600,
        ),
    ] = 120.0
    pull_interval_s: Annotated[
        int,
        Meta(description="How often stations ask for a Dynamic profile's setpoint by themselves; 0 = never.", extra={"unit": "s"}, ge=0),
    ] = 0
    update_refusals: Annotated[
        int,
        Meta(
            description="So many refused updates in a row, and the EVSE gets Absolute profiles until its firmware changes.",
            extra={"unit": "-"},
            ge=1,
        ),
    ] = 2


class Placing(Struct, frozen=True, kw_only=True):
    """One setpoint on its way to a session."""

    uid: SessionUid
    station_id: StationId
    evse_id: EvseId
    transaction_id: TransactionId
    control_mode: ControlMode
    max_stack_level: int | None
    above_level: int | None
    """The highest level of another actor's transaction profile here; ours goes above it."""
    max_offline_supported: bool
    power_w: float
    discharge_until_s: float
    hold_until_s: float
    fallback_power_w: float
    dispatch_id: str
    reason: str
    urgent: bool
    moves: bool = False
    """A Dynamic profile is to carry it, where the station has them: the target moves, others will follow."""
    full_until_s: float = float("nan")
    """Until when the car could run even at its full power: a Dynamic profile with this end takes every setpoint."""
    curves: WattCurves | None = None
    """The station finds its power by these; `power_w` is the strongest that they can ask for."""
    path: str = ""
    """The control path that the curves are for."""
    begins_at_s: float | None = None
    """A scheduled start, epoch seconds; None = at once."""
    watchdog_s: int | None = None
    """Set on its way: it is a Dynamic profile."""
    phases: int | None = None
    """Phases that the car charges on, where the station must be told."""
    ampere_phases: int | None = None
    """A limit to charging is told in A over so many phases; None = in W."""
    later: tuple[PowerStep, ...] = ()
    """Further periods of the same schedule, in the order of time."""

    @property
    def reduces(self) -> bool:
        """It is a limit to charging, of a car that is not discharged: nothing stands beneath it, since it may only spare."""
        return self.control_mode is ControlMode.CHARGE_ONLY

    @property
    def strongest_w(self) -> float:
        """The strongest discharge of all its periods."""
        return strongest_w(self.power_w, self.later)

    def at(self, now_s: float) -> Self:
        """What is left of it at `now_s`: periods that have begun make the first one."""
        if not self.later or self.later[0].from_s > now_s:
            return self
        return replace(
            self, power_w=power_at(self.power_w, self.later, now_s), later=tuple(step for step in self.later if step.from_s > now_s)
        )

    def begins_s(self, now_s: float) -> float:
        """When it takes effect if it leaves now."""
        return now_s if self.begins_at_s is None else max(now_s, self.begins_at_s)


def cut(placing: Placing, most_later: int) -> Placing:
    """With at most so many further periods. What is cut off is not run on into: the discharge ends where the first of those would begin,
    and is renewed there like any other."""
    if len(placing.later) <= most_later:
        return placing
    end_s = placing.later[most_later].from_s
    hold_s = placing.hold_until_s - placing.discharge_until_s
    return replace(placing, later=placing.later[:most_later], discharge_until_s=end_s, hold_until_s=end_s + hold_s)


def dynamic_wanted(settings: PlacingSettings, instruction: DispatchInstruction, now_s: float) -> bool:
    """Whether this dispatch is to be carried by Dynamic profiles, where stations have them."""
    match settings.control_path:
        case "absolute":
            return False
        case "dynamic":
            return True
        case "auto":
            return moves(instruction, now_s, settings.moving_gap_s)


def place_discharge(placing: Placing, profile_id: ProfileId, stack_level: int, settings: PlacingSettings, now_s: float) -> PlaceDischarge:
    """The profile of a setpoint that begins now, or at its time."""
    begins_s = placing.begins_s(now_s)
    return PlaceDischarge(
        station_id=placing.station_id,
        evse_id=placing.evse_id,
        transaction_id=placing.transaction_id,
        session_uid=placing.uid,
        profile_id=profile_id,
        stack_level=stack_level,
        power_w=placing.power_w,
        start_s=begins_s if begins_s > now_s else min(now_s - settings.start_lead_s, placing.discharge_until_s),
        discharge_until_s=placing.discharge_until_s,
        hold_until_s=placing.hold_until_s,
        control_mode=placing.control_mode,
        ampere_phases=placing.ampere_phases,
        max_offline_s=settings.max_offline_s if placing.max_offline_supported else None,
        urgent=placing.urgent,
        reason=placing.reason,
        curves=placing.curves,
        path=placing.path,
        phases=placing.phases,
        later=placing.later,
        watchdog_s=placing.watchdog_s,
        pull_every_s=settings.pull_interval_s if placing.watchdog_s is not None and settings.pull_interval_s > 0 else None,
    )


def move_setpoint(placing: Placing, profile_id: ProfileId, *, is_refresh: bool) -> MoveSetpoint:
    """The update of the Dynamic profile that stands."""
    assert placing.watchdog_s is not None, "only a Dynamic profile can be moved"
    return MoveSetpoint(
        station_id=placing.station_id,
        evse_id=placing.evse_id,
        transaction_id=placing.transaction_id,
        session_uid=placing.uid,
        profile_id=profile_id,
        power_w=placing.power_w,
        discharge_until_s=placing.discharge_until_s,
        hold_until_s=placing.hold_until_s,
        watchdog_s=placing.watchdog_s,
        urgent=placing.urgent,
        reason=placing.reason,
        is_refresh=is_refresh,
    )


def place_fallback(placing: Placing, profile_id: ProfileId, stack_level: int, settings: PlacingSettings, now_s: float) -> PlaceFallback:
    """The fallback beneath a setpoint."""
    return PlaceFallback(
        station_id=placing.station_id,
        evse_id=placing.evse_id,
        transaction_id=placing.transaction_id,
        session_uid=placing.uid,
        profile_id=profile_id,
        stack_level=stack_level,
        charge_power_w=placing.fallback_power_w,
        phases=placing.phases,
        start_s=now_s - settings.start_lead_s,
    )
