"""Dispatches as people and machines outside see them, and the answers to orders. Discharge power is positive here; unknown is None."""

from msgspec import Struct

from counterflow.domain.instructions import DispatchInstruction, Feasibility
from counterflow.domain.settlement import Quality
from counterflow.domain.views import Refusal


class StreamView(Struct, frozen=True, kw_only=True):
    """A streamed target: its newest value, and where its dead-man stands."""

    phase: str
    """`waiting`, `live`; overdue: `holding`, `falling`, `silent`."""
    value_power_w: float | None
    heard_at_s: float | None
    sequence: int | None


class TargetAnswer(Struct, frozen=True, kw_only=True):
    """What became of a value of a stream: `taken`, `duplicate` or `late`."""

    dispatch_id: str
    outcome: str
    at_s: float
    asked_power_w: float
    target_power_w: float
    bounded: bool
    """It was more than was ordered at most."""
    committed_power_w: float | None
    stream: StreamView


class DispatchView(Struct, frozen=True, kw_only=True):
    """One dispatch and where it stands."""

    instruction: DispatchInstruction
    feasibility: Feasibility
    target_power_w: float | None
    delivered_power_w: float | None
    delivered_energy_wh: float | None
    """So far, from the meters as they stand; the report settles it from registers."""
    expected_power_w: float | None
    headroom_power_w: float | None
    shortfall_power_w: float | None
    members: int
    discharging: int
    drop_outs: int
    messages_sent: int
    binds: tuple[str, ...] = ()
    """Limits of sites, feeders or phases that leave no room while cars could give more, in words."""
    stream: StreamView | None = None
    capability_power_w: float | None = None
    """What all members together could give now; None = not running."""
    at_s: float | None = None
    """When the delivered power was taken, from the meters as they stood; None = nothing runs."""
    quality: Quality | None = None
    """How far the delivered power can be trusted then."""


class NoteView(Struct, frozen=True, kw_only=True):
    """What a person noted of a dispatch."""

    dispatch_id: str
    at_s: float
    by: str
    text: str


class VerificationView(Struct, frozen=True, kw_only=True):
    """A report held against the same one made again from the dispatch's log and meter values."""

    dispatch_id: str
    version: int
    holds: bool
    delivered_energy_wh: float
    made_again_wh: float | None
    """None = it could not be made again; `differences` says why."""
    samples: int
    differences: tuple[str, ...]
    """In sentences; nothing = it holds to the Wh."""


class Displacement(Struct, frozen=True, kw_only=True):
    """What an order takes from one of lower priority."""

    dispatch_id: str
    runs_until_s: float | None
    """Where it is cut short; None = it never runs."""
    former_end_s: float
    left_over_s: float
    """So much of its window lies behind the new order; nobody dispatches it, unless it is ordered anew."""


class DispatchAnswer(Struct, frozen=True, kw_only=True):
    """The answer to an order. `repeated` = the idempotency key was known; `dry_run` = nothing was started."""

    dispatch: DispatchView
    repeated: bool
    dry_run: bool
    displaced: tuple[Displacement, ...] = ()
    obstacle: Refusal | None = None
    """Dry run only: why the order itself would be refused now."""
    held_back: tuple[str, ...] = ()
    """Dry run only: limits of drivers that keep cars out, or make them give less, in words."""


class ClearingView(Struct, frozen=True, kw_only=True):
    """The answer to clear-all: profiles of ours that go, and when."""

    profiles: int
    paced: int
    """Of these, so many lie at cars that a dispatch holds; each is cleared as its car resumes charging."""
    paced_over_s: float
    """About how long that takes; an import limit of a site can make it longer. 0 = nothing is paced."""
