"""What was delivered: the report and its parts. Discharge is positive here, since these face people and operators."""

from collections.abc import Sequence
from math import nan

from msgspec import Struct

from counterflow.domain.ids import DispatchId, SessionUid
from counterflow.domain.instructions import DispatchInstruction
from counterflow.domain.settlement import (
    BaselineStatement,
    CarState,
    ClockSkew,
    Evidence,
    PastSession,
    PlanFrozen,
    Quality,
    Recovery,
    Revision,
)


class SeriesPoint(Struct, frozen=True, kw_only=True):
    """One step of a grid. NaN never appears: what is unknown is None."""

    from_s: float
    target_power_w: float
    delivered_power_w: float | None
    delivered_energy_wh: float
    headroom_power_w: float | None
    metered_share: float
    """Share of the members' time in this step that is covered by meter data, 0..1."""
    baseline_energy_wh: float = 0.0
    """What the members would have given without the dispatch, Wh; below zero where they would have charged."""
    quality: Quality | None = None
    """None in older reports."""


class Gap(Struct, frozen=True, kw_only=True):
    """A stretch without meter data of one session."""

    session_uid: SessionUid
    from_s: float
    to_s: float
    bridged_by_register: bool


class SessionDelivery(Struct, frozen=True, kw_only=True):
    """One member's share."""

    session_uid: SessionUid
    station_id: str
    transaction_id: str
    joined_s: float
    left_s: float | None
    exported_wh: float
    imported_wh: float
    delivered_wh: float
    uncertainty_wh: float
    from_register: bool
    setpoint_changes: int
    drop_out: str | None
    evse_id: int = 0
    """0 = not known (older reports)."""
    baseline_wh: float = 0.0
    """What it would have given without the dispatch, Wh; below zero where it would have charged."""
    flagged_wh: float = 0.0
    """Of its energy, what no register vouches for: it is from power alone."""
    recovery_wh: float = 0.0
    """What it drew after the stop to make good what it gave, as far as it was counted."""
    availability_frac: float | None = None
    """Share of the time from its joining to the end in which it could be counted on; None in older reports."""
    quality: Quality | None = None
    samples: int = 0
    """Meter values that it was settled from."""
    samples_sha256: str = ""
    """Their fingerprint."""
    plan_frozen: PlanFrozen | None = None
    """When the plan that it is counted from was frozen; None = it is counted from none (and in older reports)."""


class DropOut(Struct, frozen=True, kw_only=True):
    """A car that left, and what was done."""

    at_s: float
    session_uid: SessionUid
    kind: str
    lost_power_w: float
    replaced_by: int
    since_s: float | None = None
    """When the loss began: the last meter value of a car that was lost to sight, `at_s` for any other; None in older reports."""

    @property
    def began_s(self) -> float:
        """When the loss began, as far as the report tells."""
        return self.at_s if self.since_s is None else self.since_s


class Pause(Struct, frozen=True, kw_only=True):
    """A stretch in which tracking is not judged, and why: `start`, `target changed` or `cars lost`."""

    from_s: float
    to_s: float
    why: str


class DeliveryReport(Struct, frozen=True, kw_only=True):
    """The settlement of one dispatch. Energy in Wh, AC side, discharge positive."""

    dispatch_id: DispatchId
    version: int
    generated_at_s: float
    instruction: DispatchInstruction
    target_energy_wh: float
    delivered_energy_wh: float
    uncertainty_wh: float
    shortfall_energy_wh: float
    tracking_rmse_frac: float | None
    worst_10s_error_frac: float | None
    time_in_band_frac: float | None
    members: int
    messages_sent: int
    drop_outs: tuple[DropOut, ...]
    gaps: tuple[Gap, ...]
    sessions: tuple[SessionDelivery, ...]
    series: tuple[SeriesPoint, ...]
    series_step_s: float
    final: bool
    notes: tuple[str, ...] = ()
    not_judged: tuple[Pause, ...] = ()
    """What the three figures of quality leave out, in the order of time."""
    baseline: BaselineStatement | None = None
    """None in older reports; so are those that follow."""
    availability_frac: float | None = None
    """Share of the target that could have been given, by what was delivered and what stood by, averaged over the window."""
    flagged_wh: float = 0.0
    """Of the metered energy, what no register vouches for."""
    quality: Quality | None = None
    recovery: Recovery | None = None
    clocks: tuple[ClockSkew, ...] = ()
    """Stations whose clock is off by more than is tolerated."""
    revision: Revision | None = None
    """None = the first version."""
    evidence: Evidence | None = None


NOT_RESPONDING = "not_responding"
"""The kind of drop-out in which the car is still there, but does not follow its setpoint."""


def drop_out_words(drop_outs: Sequence[DropOut]) -> str:
    """How many were lost, and how many did not respond: `20 lost, 3 did not respond`."""
    deaf = sum(drop.kind == NOT_RESPONDING for drop in drop_outs)
    lost = f"{len(drop_outs) - deaf} lost"
    return f"{lost}, {deaf} did not respond" if deaf else lost


class Sample(Struct, frozen=True, gc=False):
    """A stored meter sample of one session; NaN = not in the sample."""

    session_uid: SessionUid
    at_s: float
    power_w: float
    export_wh: float
    import_wh: float
    soc_frac: float
    received_s: float = nan
    """When it came; NaN = not kept."""


class LogKind:
    """Kinds of dispatch log entries (strings, since they are stored)."""

    ACCEPTED = "accepted"
    STATE = "state"
    AMENDED = "amended"
    JOINED = "joined"
    LEFT = "left"
    SETPOINT = "setpoint"
    TICK = "tick"
    SHORTFALL = "shortfall"
    BASELINE = "baseline"
    ASKED = "asked"
    """A value of a stream, or what its dead-man makes of the last one."""
    RELEASED = "released"
    """A member's order was taken back while the dispatch goes on; `text` is the change reason."""
    ASIDE = "aside"
    """From now on `text` (a `Reason`) is why these sessions of the pool can, or cannot, be used."""
    RESTED = "rested"
    """A member that was handed back to charging while nothing is asked; JOINED when it is needed again."""
    CAR = "car"
    """A member as it was when it joined (`car`): where its charging is simulated from, for a baseline."""
    PLANS = "plans"
    """The same of cars that were there when the order was accepted: `cars`, one for each of `uids`, be they members later or not."""
    NOTE = "note"
    """What a person noted, with who it was."""
    DISPLACED = "displaced"
    """An order of higher priority cuts it short, or cancels it; `text` says which."""
    GUARDED = "guarded"
    """A guarantee was broken for a member, which was stopped; `text` says which."""
    LATE = "late"
    """In the minute from `at_s` on, meter values of the window came in after the dispatch had ended."""
    ENDED = "ended"
    """At `at_s` it was told, late, that a session had ended inside the window, at `ended_s`."""


class Why(Struct, frozen=True, array_like=True, gc=False):
    """The figures behind one setpoint, as they were when it was decided. Kept as a bare list: it is written with every setpoint."""

    late_s: float
    """So long before its log line it was decided."""
    target_w: int
    gap_w: int
    """Target less what the fleet was expected to give, before anything was changed."""
    was_w: int | None
    """What was asked of it before, discharge positive; below zero, it was slowed to charging at so much; None = nothing of ours."""
    place: int
    """Its place in the order of merit; 0 = nobody was ranked."""
    ranked: int
    """How many were ranked."""
    laxity_s: int | None
    """How long it could have waited and still given all its energy inside the window."""
    bound: int
    """`Bound`."""
    ended_by: int
    """`EndedBy`."""
    reason: int
    """`Reason`: what it could be asked at all."""


class LogEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a dispatch's log. Which fields are set depends on `kind`; see the comments."""

    at_s: float
    kind: str
    session_uid: SessionUid = SessionUid(0)
    station_id: str = ""
    transaction_id: str = ""
    power_w: float | None = None
    """SETPOINT: the setpoint (<= 0), or the limit to charging (>= 0). TICK: measured fleet power (discharge positive). LEFT: power lost.
    BASELINE: planned power."""
    target_power_w: float | None = None
    """TICK, SHORTFALL, ASKED: discharge positive. AMENDED: of versions that did not keep it among the steps."""
    headroom_power_w: float | None = None
    """TICK: in reserve. SHORTFALL: what can be given now."""
    text: str = ""
    """STATE: the new state. LEFT: drop-out kind. SETPOINT: change reason. ASKED: why it is not the source's value, or empty."""
    count: int = 0
    """TICK: sessions discharging. LEFT: how many setpoints replaced it. ASKED: the source's number and one, 0 = it has none."""
    result: str = ""
    """SETPOINT outcome, when it is logged. STATE: the reason. LEFT: the `Reason` by which it was lost."""
    messages: int = 0
    """TICK, STATE: messages sent to stations for this dispatch so far."""
    why: Why | None = None
    """SETPOINT: the figures behind it."""
    uids: tuple[int, ...] = ()
    """ASIDE, PLANS: the sessions that it is about."""
    evse_id: int = 0
    """JOINED: the EVSE; 0 = not known."""
    car: CarState | None = None
    """CAR: its state."""
    cars: tuple[CarState, ...] = ()
    """PLANS: their states."""
    ended_s: float | None = None
    """ENDED: when the session really ended."""


class Stored(Struct, frozen=True, kw_only=True):
    """What a report is made from: everything comes from the journal, so that it can be made again."""

    instruction: DispatchInstruction
    log: tuple[LogEntry, ...]
    samples: tuple[Sample, ...]
    after: tuple[Sample, ...] = ()
    """Some later samples, which tell only what was drawn after the window."""
    history: tuple[Sample, ...] = ()
    """Some samples of `past` sessions, around the window's time of day."""
    past: tuple[PastSession, ...] = ()
    past_days_s: tuple[float, ...] = ()
    """The instants on earlier days that answer to the start of the window, newest first."""
