"""What was delivered: the report and its parts. Discharge is positive here, since these face people and operators."""

from msgspec import Struct

from counterflow.domain.ids import DispatchId, SessionUid
from counterflow.domain.instructions import DispatchInstruction


class SeriesPoint(Struct, frozen=True, kw_only=True):
    """One step of a grid. NaN never appears: what is unknown is None."""

    from_s: float
    target_power_w: float
    delivered_power_w: float | None
    delivered_energy_wh: float
    headroom_power_w: float | None
    metered_share: float
    """Share of the members' time in this step that is covered by meter data, 0..1."""


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


class DropOut(Struct, frozen=True, kw_only=True):
    """A car that left, and what was done."""

    at_s: float
    session_uid: SessionUid
    kind: str
    lost_power_w: float
    replaced_by: int


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


class Sample(Struct, frozen=True, gc=False):
    """A stored meter sample of one session; NaN = not in the sample."""

    session_uid: SessionUid
    at_s: float
    power_w: float
    export_wh: float
    import_wh: float
    soc_frac: float


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


class LogEntry(Struct, frozen=True, kw_only=True):
    """One line of a dispatch's log. Which fields are set depends on `kind`; see the comments."""

    at_s: float
    kind: str
    session_uid: SessionUid = SessionUid(0)
    station_id: str = ""
    transaction_id: str = ""
    power_w: float | None = None
    """SETPOINT: the setpoint (<= 0). TICK: measured fleet power (discharge positive). LEFT: power lost. BASELINE: planned power."""
    target_power_w: float | None = None
    """TICK, AMENDED, SHORTFALL: discharge positive."""
    headroom_power_w: float | None = None
    """TICK, SHORTFALL."""
    text: str = ""
    """STATE: the new state. LEFT: drop-out kind. SETPOINT: change reason."""
    count: int = 0
    """TICK: sessions discharging. LEFT: how many setpoints replaced it."""
    result: str = ""
    """SETPOINT outcome, when it is logged. STATE: the reason."""
    messages: int = 0
    """TICK, STATE: messages sent to stations for this dispatch so far."""


class Stored(Struct, frozen=True, kw_only=True):
    """What a report is made from: everything comes from the journal, so that it can be made again."""

    instruction: DispatchInstruction
    log: tuple[LogEntry, ...]
    samples: tuple[Sample, ...]
