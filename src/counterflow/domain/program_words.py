"""What a program's system and we say to each other in JSON: the same messages over MQTT, HTTP and webhooks.

Powers are in the program's own sign and unit, and every message says which. What can be given or is missing (`up_power`, `down_power`,
`shortfall_power`, `up_energy`, `ramp_per_s`) is a magnitude, whatever the sign. Instants are RFC 3339 with an offset; ours are UTC.

In what comes in a field that is not known is refused, so that a typing error is never an order; readers of what goes out must pass over
fields that they do not know, since later versions may add some.
"""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct, field

from counterflow.domain.grid import GridUnit, Quality, Sign
from counterflow.domain.instructions import DispatchMode

KEY_PATTERN = r"^[A-Za-z0-9._:-]{1,128}$"
MOST_STEPS = 1_000

Key = Annotated[
    str,
    Meta(pattern=KEY_PATTERN, description="The sender's own name of the order; the same key again is the same order.", examples=["o-17"]),
]
Value = Annotated[float, Meta(ge=-1e12, le=1e12, description="Power in the program's sign and the unit named beside it.")]
Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339 with an offset.", examples=["2026-11-26T17:00:00Z"])]
Unit = Annotated[GridUnit, Meta(description="Unit of the powers; must be the one agreed for the program.")]


class StepWords(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From an instant on, so much is asked, until the next step or the end."""

    from_: Instant = field(name="from")
    value: Value


class OrderWords(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order, or another version of it: the same key with the same content changes nothing."""

    key: Key
    unit: Unit
    steps: Annotated[tuple[StepWords, ...], Meta(min_length=1, max_length=MOST_STEPS, description="In the order of time.")]
    end: Instant
    mode: Annotated[DispatchMode | None, Meta(description="What counts as delivery; null = as agreed for the program.")] = None
    priority: Annotated[
        Annotated[int, Meta(ge=-1000, le=1000)] | None, Meta(description="Larger wins; null = as agreed for the program.")
    ] = None
    note: Annotated[str, Meta(max_length=500, description="What a person should know of it.")] = ""


class WithdrawWords(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order is taken back."""

    key: Key
    why: Annotated[str, Meta(max_length=500)] = ""


class SetpointWords(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One value of a stream of set-points. Numbered or dated, so that a late one is known for one."""

    value: Value
    unit: Unit
    sequence: Annotated[
        Annotated[int, Meta(ge=0, le=2**53)] | None, Meta(description="Grows with each value; one that is not larger is a double, or late.")
    ] = None
    at: Annotated[Instant | None, Meta(description="When the value was made.")] = None


class AnswerWords(Struct, frozen=True, kw_only=True):
    """What became of an order, its withdrawal or a set-point."""

    program: str
    about: Annotated[str, Meta(description="order, withdraw or setpoint.")]
    key: Annotated[str | None, Meta(description="Of the order; null where the message could not be read so far.")]
    sequence: Annotated[int | None, Meta(description="Of the set-point, as it was sent.")] = None
    at: Instant
    outcome: Annotated[
        str,
        Meta(description="accepted, changed, unchanged, withdrawn, over, refused; or malformed: the message could not be read."),
    ]
    dispatch_id: str | None = None
    sign: Annotated[Sign, Meta(description="generator = export is positive, load = consumption is positive.")]
    unit: GridUnit
    promised_power: Annotated[float | None, Meta(description="What is promised of the order.")] = None
    expected_power: Annotated[float | None, Meta(description="What is expected to be given.")] = None
    shortfall_power: Annotated[float | None, Meta(description="What of the order is not promised, a magnitude; 0 = nothing.")] = None
    problem: Annotated[str | None, Meta(description="What is wrong, in a sentence.")] = None
    remedy: Annotated[str | None, Meta(description="What to do about it.")] = None


class TelemetryWords(Struct, frozen=True, kw_only=True):
    """A pool at one instant. What is not known is null, never zero. `pool` and `sequence` name the record: drop doubles by them."""

    program: str
    pool: str
    sequence: Annotated[int, Meta(description="Grows by one with each record of the pool, over restarts.")]
    at: Instant
    sign: Annotated[Sign, Meta(description="generator = export is positive, load = consumption is positive.")]
    unit: Annotated[GridUnit, Meta(description="Of powers; energies are in this times one hour.")]
    measured_power: Annotated[float | None, Meta(description="Sum of the meters of the pool's cars, net.")]
    baseline_power: Annotated[float | None, Meta(description="What they would give without the order.")]
    target_power: Annotated[float | None, Meta(description="What is asked; null = no dispatch runs.")]
    delivered_power: float | None
    committed_power: float | None
    up_power: Annotated[
        float | None,
        Meta(description="More export that can be given firmly (P90), a magnitude; charging that can be given up is not in it."),
    ]
    up_energy: Annotated[float | None, Meta(description="The energy of that, in `unit` times one hour, a magnitude.")]
    down_power: Annotated[float | None, Meta(description="Export that can be taken back, a magnitude.")]
    ramp_per_s: Annotated[float | None, Meta(description="In `unit` per second, a magnitude.")]
    sessions: int
    sessions_ready: int
    unmeasured_sessions: int
    meter_age_s: Annotated[float | None, Meta(description="Age of the oldest meter value in the sum, seconds.")]
    quality: Annotated[Quality, Meta(description="good, stale, estimated or missing.")]
    available: Annotated[bool, Meta(description="Orders are taken.")]
    following: Annotated[bool, Meta(description="A dispatch runs and its target is met, or on its way.")]
    fault: bool
    storage_at: Annotated[
        Instant | None, Meta(description="When the figures of the pool as a storage were worked out: of cars that may be discharged.")
    ] = None
    stored_energy: Annotated[
        float | None, Meta(description="In the batteries whose state of charge is known, in `unit` times one hour.")
    ] = None
    storage_capacity: Annotated[float | None, Meta(description="What the same batteries hold when full, in `unit` times one hour.")] = None
    usable_energy: Annotated[
        float | None, Meta(description="What cars that are ready can give, down to their floors, in `unit` times one hour.")
    ] = None
    max_discharge_power: Annotated[float | None, Meta(description="What they can give at once, a magnitude; not how long.")] = None
    max_charge_power: Annotated[float | None, Meta(description="What cars that are not full can take at once, a magnitude.")] = None
    storage_unknown_sessions: Annotated[int | None, Meta(description="Cars whose state of charge is not known: in no sum.")] = None
    storage_quality: Annotated[Quality | None, Meta(description="good, estimated or missing.")] = None


class TelemetryBatch(Struct, frozen=True, kw_only=True):
    """Records in their order. `replayed`: they were made while they could not be sent."""

    program: str
    pool: str
    replayed: bool
    records: tuple[TelemetryWords, ...]


class OrderState(Struct, frozen=True, kw_only=True):
    """An order as it stands."""

    key: str
    revision: Annotated[int, Meta(description="Grows with each change of the order.")]
    outcome: str
    problem: Annotated[str, Meta(description='Why it was refused; "" = it was not.')]
    dispatch_id: str | None
    state: Annotated[
        str | None,
        Meta(description="scheduled, running, resuming, completed, cancelled, aborted; null = no dispatch yet."),
    ]
    state_reason: str
    steps: tuple[StepWords, ...]
    end: Instant


class OrdersWords(Struct, frozen=True, kw_only=True):
    """All orders of a program that are to come, run, or ended lately."""

    program: str
    at: Instant
    sign: Sign
    unit: GridUnit
    orders: tuple[OrderState, ...]


class OfferLevelWords(Struct, frozen=True, kw_only=True):
    """What is met or exceeded for the whole window with a probability."""

    confidence: Annotated[float, Meta(description="Probability, 0..1.")]
    power: Annotated[float, Meta(description="As `mode` counts it, a magnitude.")]
    energy: Annotated[float, Meta(description="That power over the window, in `unit` times one hour, a magnitude.")]


class OfferWords(Struct, frozen=True, kw_only=True):
    """What a pool can surely give from `start` on, for a whole window."""

    start: Instant
    window_s: float
    confidence: Annotated[float, Meta(description="Probability that `power` is there for the whole window, 0..1.")]
    power: Annotated[float, Meta(description="What is offered, all counted, as `mode` counts it: a magnitude.")]
    energy: Annotated[float, Meta(description="That power over the window, in `unit` times one hour, a magnitude.")]
    mode: Annotated[DispatchMode, Meta(description="What counts as delivery; relative adds charging that is given up.")]
    levels: Annotated[tuple[OfferLevelWords, ...], Meta(description="What the model says at P50, P90, P95 and P99.")]
    scenarios: Annotated[int, Meta(description="Courses of the window that it was worked out from.")]
    method: Annotated[str, Meta(description="quantile or cvar.")]


class OffersWords(Struct, frozen=True, kw_only=True):
    """What a pool can surely give over windows of several lengths. Nobody can commit to these; that is done over HTTP."""

    program: str
    pool: str
    at: Instant
    sign: Sign
    unit: GridUnit
    offers: tuple[OfferWords, ...]


class ReportWords(Struct, frozen=True, kw_only=True):
    """A report of a dispatch of the program is ready to be fetched."""

    program: str
    key: Annotated[str | None, Meta(description="Of the order; null = a stream of set-points.")]
    dispatch_id: str
    at: Instant
    final: bool
    path: Annotated[str, Meta(description="Of the HTTP API.", examples=["/api/v1/dispatches/d-1/report"])]


class StatusWords(Struct, frozen=True, kw_only=True):
    """Whether we are there. `online` false comes from us when we stop, or from the broker when it has lost us (the last will)."""

    online: bool
    at: Annotated[Instant | None, Meta(description="When we said so; null in the last will.")]
    version: str
