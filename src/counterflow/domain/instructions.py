"""What the operator asks for: orders, instructions (accepted orders), and where each stands."""

from enum import StrEnum

from msgspec import Struct

from counterflow.domain.ids import ALL_SITES, DispatchId, PoolId

NOTICEABLE_FRAC = 1e-3
"""A shortfall below this share of an order is rounding."""


class DispatchMode(StrEnum):
    """What is counted as delivery (control: net = sum(-P), gross = sum(max(-P, 0)), relative = plan - P)."""

    NET_EXPORT = "net_export"
    GROSS_EXPORT = "gross_export"
    RELATIVE = "relative"


class AllocationPolicy(StrEnum):
    """How the target is split over cars."""

    HYBRID = "hybrid"
    PROPORTIONAL = "proportional"
    MERIT = "merit"


class ControlPath(StrEnum):
    """Who moves the cars: we, by setpoints; we, by one signal for all that each station looks up in a curve of its own (aFRR); or each
    station by the grid's frequency, without us."""

    CENTRAL = "central"
    AFRR = "afrr"
    LOCAL_FREQUENCY = "local_frequency"


class DispatchState(StrEnum):
    """Where a dispatch stands; the moves are in `engine.control.book`."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    RESUMING = "resuming"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    ABORTED = "aborted"


class DispatchOrder(Struct, frozen=True, kw_only=True):
    """A request as it came in; `discharge_power_w` > 0, `start_s` None = now."""

    discharge_power_w: float
    duration_s: float
    start_s: float | None = None
    pool: PoolId = ALL_SITES
    policy: AllocationPolicy = AllocationPolicy.HYBRID
    mode: DispatchMode = DispatchMode.NET_EXPORT
    priority: int = 0
    ordered_by: str = ""
    require_full: bool = False
    """Refuse the order rather than accept it with a shortfall."""
    control_path: ControlPath = ControlPath.CENTRAL


class Amendment(Struct, frozen=True, kw_only=True):
    """A change to a dispatch under way; `None` leaves a field as it is."""

    discharge_power_w: float | None = None
    end_s: float | None = None


class TargetStep(Struct, frozen=True, kw_only=True):
    """From `from_s` on the target is `discharge_power_w` (>= 0), until the next step or the end."""

    from_s: float
    discharge_power_w: float


class Feasibility(Struct, frozen=True, kw_only=True):
    """What the pool can give over a window, as an expected and a low value (AC side)."""

    expected_power_w: float
    low_power_w: float
    expected_energy_wh: float
    low_energy_wh: float
    committed_power_w: float
    shortfall_power_w: float
    sessions: int


class DispatchInstruction(Struct, frozen=True, kw_only=True):
    """An accepted order. `steps` is ordered by time and starts at `start_s`."""

    dispatch_id: DispatchId
    start_s: float
    end_s: float
    steps: tuple[TargetStep, ...]
    pool: PoolId
    policy: AllocationPolicy
    mode: DispatchMode
    priority: int
    accepted_at_s: float
    ordered_by: str = ""
    idempotency_key: str | None = None
    order: DispatchOrder | None = None
    """The order as it came in, before any amendment; None in records of versions that did not keep it."""
    state: DispatchState = DispatchState.SCHEDULED
    state_reason: str = ""
    resume_from_s: float | None = None
    """When discharge stopped (window end, cancel, stop): the paced resume counts from here."""
    ends_as: DispatchState | None = None
    """What a resuming dispatch becomes once charging has resumed."""
    control_path: ControlPath = ControlPath.CENTRAL
    feasibility: Feasibility | None = None
    """As told to the operator when the order was accepted or last amended."""
