"""What the operator asks for: orders, instructions (accepted orders), and where each stands."""

from enum import StrEnum

from msgspec import Struct

from counterflow.domain.ids import ALL_SITES, DispatchId, PoolId
from counterflow.domain.settlement import BaselineMethod
from counterflow.domain.units import format_power

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
    ECONOMIC = "economic"


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


class OrderStep(Struct, frozen=True, kw_only=True):
    """A later part of an ordered profile: another power (>= 0, W) from an instant on. Exactly one of the two says which: `after_s` counts
    from the start of the order, `from_s` is epoch seconds."""

    discharge_power_w: float
    after_s: float | None = None
    from_s: float | None = None


class StreamTerms(Struct, frozen=True, kw_only=True):
    """A target that is told value by value while the dispatch runs, and what becomes of it when no value comes (decisions 16)."""

    timeout_s: float
    """So long after the last value its source counts as silent."""
    hold_s: float
    """The last value holds for so long after that."""
    ramp_down_s: float
    """Then it goes down to the baseline within this time."""


class StreamValue(Struct, frozen=True, kw_only=True):
    """One value as its source sent it, W >= 0; the source may number it, date it, or both."""

    discharge_power_w: float
    sequence: int | None = None
    said_at_s: float | None = None


class Headroom(Struct, frozen=True, kw_only=True):
    """How much of what the pool can give stands by as idle cars: a share, or a power in W. Exactly one of the two."""

    share_frac: float | None = None
    power_w: float | None = None


class DispatchOrder(Struct, frozen=True, kw_only=True):
    """A request as it came in; `discharge_power_w` > 0, `start_s` None = now."""

    discharge_power_w: float
    duration_s: float
    start_s: float | None = None
    end_s: float | None = None
    """It is over then, however late it was taken; None = `duration_s` after its start."""
    pool: PoolId = ALL_SITES
    policy: AllocationPolicy = AllocationPolicy.HYBRID
    mode: DispatchMode = DispatchMode.NET_EXPORT
    priority: int = 0
    ordered_by: str = ""
    require_full: bool = False
    """Refuse the order rather than accept it with a shortfall."""
    control_path: ControlPath = ControlPath.CENTRAL
    steps: tuple[OrderStep, ...] = ()
    """Powers after the first, in the order of time."""
    stream: StreamTerms | None = None
    """The target comes value by value; `discharge_power_w` is the most that will be asked."""
    ramp_w_per_s: float | None = None
    """The target moves no faster than this; None = in steps."""
    ramp_out_s: float = 0.0
    """The target goes down to zero over the last part of the window."""
    headroom: Headroom | None = None
    """What is to stand by; None = as the settings say."""
    baseline: BaselineMethod | None = None
    """What a relative order is settled against; None = as the settings say."""
    replaces: DispatchId | None = None
    """A dispatch that ends where this one begins, whatever its priority: the same order of a grid operator, changed."""


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
    limits: tuple[str, ...] = ()
    """Limits of sites, feeders or phases that are below what the cars could give, in words."""
    reserved_power_w: float = 0.0
    """Held for commitments that this order does not call; others cannot be committed it."""
    commitment_id: str = ""
    """The commitment that this order calls; empty = none."""
    commitment_power_w: float | None = None
    """What was committed there: what is ordered above it was never promised."""


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
    stream: StreamTerms | None = None
    """The target comes value by value; the steps are the most that may be asked."""
    ramp_w_per_s: float | None = None
    ramp_out_s: float = 0.0
    baseline: BaselineMethod | None = None
    """What it is settled against, frozen when it was accepted; None in records of versions that did not keep it."""
    feasibility: Feasibility | None = None
    """As told to the operator when the order was accepted or last amended."""


def asked_power_w(instruction: DispatchInstruction) -> float:
    """The power by which people speak of a dispatch, W: of a profile its peak, else what was ordered, or amended to, last."""
    if instruction.order is not None and instruction.order.steps:
        return max(step.discharge_power_w for step in instruction.steps)
    return instruction.steps[-1].discharge_power_w if instruction.steps else 0.0


def target_words(instruction: DispatchInstruction) -> str:
    """What is asked, in words: `2.500 MW`, `up to 2.500 MW in 4 steps`, `a stream of up to 2.500 MW`."""
    power = format_power(asked_power_w(instruction))
    if instruction.stream is not None:
        return f"a stream of up to {power}"
    if instruction.order is not None and instruction.order.steps:
        return f"up to {power} in {len(instruction.steps)} steps"
    return power


def promise_words(instruction: DispatchInstruction) -> tuple[str, ...]:
    """How far the order went beyond what was promised when it was accepted, before it started, in sentences; nothing = all was promised."""
    told, asked_w = instruction.feasibility, asked_power_w(instruction)
    if told is None:
        return ()
    found: list[str] = []
    if told.shortfall_power_w > NOTICEABLE_FRAC * asked_w:
        held, beyond = format_power(told.committed_power_w), format_power(told.shortfall_power_w)
        found.append(f"When the order was accepted {held} of it were promised; {beyond} were not.")
    if told.commitment_power_w is not None:
        above_w = max(0.0, asked_w - told.commitment_power_w)
        above = f"; {format_power(above_w)} of it were above that and never promised" if above_w > NOTICEABLE_FRAC * asked_w else ""
        found.append(f"The order called commitment {told.commitment_id} over {format_power(told.commitment_power_w)}{above}.")
    return tuple(found)
