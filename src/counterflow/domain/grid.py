"""What the grid operator's wires (OpenADR, IEC 104, MQTT ...) and the dispatcher say to each other, in words of no wire.

A wire speaks in the sign and unit of its program; `value_of` and `discharge_power_w_of` turn them, once, at this edge.
"""

from collections.abc import Mapping
from enum import StrEnum
from math import inf
from typing import Annotated, Any

from msgspec import Meta, Struct

from counterflow.domain.ids import ALL_SITES, DispatchId, PoolId
from counterflow.domain.instructions import AllocationPolicy, DispatchMode, Feasibility
from counterflow.domain.settlement import BaselineMethod
from counterflow.domain.settlement import Quality as Quality  # a word of wires, too
from counterflow.domain.views import Refusal


class Wire(StrEnum):
    """The way by which a program's orders come in."""

    OPENADR = "openadr"
    OPENADR2 = "openadr2"
    IEC104 = "iec104"
    MQTT = "mqtt"
    HTTP = "http"


class Sign(StrEnum):
    """What a positive value of a program means: `load` = consumption (an export order is negative), `generator` = export."""

    LOAD = "load"
    GENERATOR = "generator"


class GridUnit(StrEnum):
    """The unit of power of a program's values."""

    W = "W"
    KW = "kW"
    MW = "MW"


WATTS: Mapping[GridUnit, float] = {GridUnit.W: 1.0, GridUnit.KW: 1e3, GridUnit.MW: 1e6}
"""Watts in one of each unit."""


class Program(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was agreed with one grid operator or market: whose orders come by which wire, and what bounds them."""

    name: Annotated[str, Meta(description="Name of the program here.", extra={"unit": "-"}, min_length=1, max_length=64)]
    wire: Annotated[Wire, Meta(description="By which wire its orders come.", extra={"unit": "-"})]
    external_id: Annotated[
        str,
        Meta(description="What the wire calls it, such as OpenADR's program name; empty = as `name`.", extra={"unit": "-"}, max_length=128),
    ] = ""
    pool: Annotated[PoolId, Meta(description="The pool that it may dispatch.", extra={"unit": "-"}, min_length=1)] = ALL_SITES
    sign: Annotated[
        Sign | None,
        Meta(
            description="load = consumption is positive, generator = export is positive. Never guessed: must be set.", extra={"unit": "-"}
        ),
    ] = None
    unit: Annotated[
        GridUnit | None, Meta(description="Unit of its powers, where the wire does not tell with each. Never guessed.", extra={"unit": "-"})
    ] = None
    max_discharge_power_w: Annotated[float, Meta(description="The most that it may order.", extra={"unit": "W"}, gt=0)]
    max_ramp_w_per_s: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="The target moves no faster, whatever is ordered; none = in steps.", extra={"unit": "W/s"}),
    ] = None
    max_orders_per_min: Annotated[
        float,
        Meta(
            description="So many orders and changes a minute are taken at most (values of a stream do not count).",
            extra={"unit": "1/min"},
            gt=0,
        ),
    ] = 30.0
    mode: Annotated[DispatchMode, Meta(description="What counts as delivery, where the wire does not tell.", extra={"unit": "-"})] = (
        DispatchMode.NET_EXPORT
    )
    baseline: Annotated[
        BaselineMethod | None,
        Meta(description="What its relative orders are settled against; none = as `orders.baseline` says.", extra={"unit": "-"}),
    ] = None
    policy: Annotated[AllocationPolicy, Meta(description="How its target is split over cars.", extra={"unit": "-"})] = (
        AllocationPolicy.HYBRID
    )
    priority: Annotated[int, Meta(description="Priority of its orders against others; larger wins.", extra={"unit": "-"})] = 0
    stream_timeout_s: Annotated[
        float,
        Meta(description="Of streamed set-points: so long after the last one its source counts as silent.", extra={"unit": "s"}, gt=0),
    ] = 30.0
    stream_window_s: Annotated[
        float,
        Meta(
            description="Streamed set-points: what is committed is what can be held for so long, reckoned anew in half of it. A longer one "
            "commits less power.",
            extra={"unit": "s"},
            ge=300,
            le=86_400,
        ),
    ] = 3600.0
    stream_hold_s: Annotated[float, Meta(description="The last set-point holds for so long after that.", extra={"unit": "s"}, ge=0)] = 60.0
    stream_ramp_down_s: Annotated[
        float, Meta(description="Then the target goes down to the baseline within this time.", extra={"unit": "s"}, ge=0)
    ] = 120.0

    @property
    def called(self) -> str:
        """The name that the wire knows it by."""
        return self.external_id or self.name


class GridStep(Struct, frozen=True, kw_only=True):
    """From `from_s` on (epoch seconds) `discharge_power_w` is asked, >= 0: sign and unit are turned already."""

    from_s: float
    discharge_power_w: float


class GridOrder(Struct, frozen=True, kw_only=True):
    """What an operator's system orders. The same `key` again is the same order: the same content changes nothing, another changes it."""

    program: str
    key: str
    """The wire's own identity of the order, such as OpenADR's event id."""
    steps: tuple[GridStep, ...]
    """In the order of time; the first says when it starts (in the past = it began before we heard of it). None in the record of an order
    whose wire could not make sense of it."""
    end_s: float
    mode: DispatchMode | None = None
    """None = as the program says."""
    priority: int | None = None
    note: str = ""
    """What a person should know of it, in words."""


class GridOutcome(StrEnum):
    """What became of an order."""

    ACCEPTED = "accepted"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    """It was known already."""
    WITHDRAWN = "withdrawn"
    OVER = "over"
    """Its window has passed."""
    REFUSED = "refused"


class GridAnswer(Struct, frozen=True, kw_only=True):
    """What the wire's negative or positive answer is made from."""

    outcome: GridOutcome
    dispatch_id: DispatchId | None = None
    feasibility: Feasibility | None = None
    """What can be given; below what was ordered: say so before it starts."""
    refusal: Refusal | None = None
    """There if refused, in sentences."""

    @property
    def accepted(self) -> bool:
        """Not refused."""
        return self.outcome is not GridOutcome.REFUSED


class GridOrderRecord(Struct, frozen=True, kw_only=True):
    """An order of a wire as it stands, kept over restarts."""

    order: GridOrder
    revision: int
    heard_at_s: float
    outcome: GridOutcome
    dispatch_id: DispatchId | None = None
    sentence: str = ""
    """Why it was refused."""


class CapacityBound(Struct, frozen=True, kw_only=True):
    """For a time the sites of a pool export, or import, no more than this together. inf = no limit on that side."""

    program: str
    key: str
    """The wire's own identity of it, such as OpenADR's event id; the same again replaces it."""
    pool: PoolId
    from_s: float
    to_s: float
    max_export_w: float = inf
    max_import_w: float = inf


class ProgramCapacity(Struct, frozen=True, kw_only=True):
    """The limits of a program, kept over restarts."""

    program: str
    bounds: tuple[CapacityBound, ...]


class WireNote(Struct, frozen=True, kw_only=True):
    """Something that a wire must know again after a restart, such as when "now" was."""

    wire: Wire
    key: str
    body: Any


class PoolTelemetry(Struct, frozen=True, kw_only=True):
    """A pool at one instant, for a wire that shows it to an operator. Discharge positive; unknown is None, never zero."""

    sequence: int
    """Grows by one with each record of a pool, over restarts: the key by which a reader drops doubles (decisions 13)."""
    at_s: float
    pool: PoolId
    measured_power_w: float | None
    """Sum of the meters of its cars as they stand; net of those that charge."""
    baseline_power_w: float | None
    """What it would give without the order, as frozen when that was accepted; 0 in the modes net_export and gross_export."""
    target_power_w: float | None
    """None = no dispatch runs."""
    delivered_power_w: float | None
    committed_power_w: float | None
    up_power_w: float | None
    """More discharge power that can be given firmly (P90 of the offer)."""
    up_energy_wh: float | None
    down_power_w: float | None
    """Discharge that can be taken back."""
    ramp_w_per_s: float | None
    sessions: int
    sessions_ready: int
    unmeasured_sessions: int
    meter_age_s: float | None
    """Age of the oldest meter value in the sum."""
    quality: Quality
    available: bool
    """Orders are taken: no emergency stop, nothing broken."""
    following: bool
    """A dispatch runs, and its target is met within its tolerance or on its way there."""
    fault: bool
    storage_at_s: float | None = None
    """When the figures of the pool as a storage were worked out; None = not yet. They speak of its cars that may be discharged at all."""
    stored_energy_wh: float | None = None
    """In the batteries of those whose state of charge and capacity are known."""
    storage_capacity_wh: float | None = None
    """What the same batteries hold when full."""
    usable_energy_wh: float | None = None
    """At the grid: what those that are ready can give, down to their floors."""
    max_discharge_power_w: float | None = None
    """What those that are ready can give at once, inside the limits of their connections. For how long, nobody says: see `up_power_w`."""
    max_charge_power_w: float | None = None
    """What those that are not full can take at once, inside the limits of their connections."""
    storage_unknown_sessions: int | None = None
    """Cars whose state of charge or capacity is not known: in no sum."""
    storage_quality: Quality | None = None


def discharge_power_w_of(value: float, sign: Sign, unit: GridUnit) -> float:
    """A value as a program writes it, as discharge power in W (positive = discharge)."""
    return value * WATTS[unit] * (-1.0 if sign is Sign.LOAD else 1.0) + 0.0


def value_of(discharge_power_w: float, sign: Sign, unit: GridUnit) -> float:
    """A discharge power in W as a program writes it."""
    return discharge_power_w / WATTS[unit] * (-1.0 if sign is Sign.LOAD else 1.0) + 0.0
