"""Tunables of the loop. The defaults were measured on the reference plant (docs: control, closed loop)."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from counterflow.engine.dispatch.cost import CostSettings


class Tracker(StrEnum):
    """Who closes the gap: our loop, which learns each car's response, or one of the baselines that it is measured against."""

    LEARNED = "learned"
    PI = "pi"
    OPEN_LOOP = "open_loop"
    OPEN_LOOP_REPLAN = "open_loop_replan"


class ControlSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the loop acts, and how its orders end."""

    tracker: Annotated[
        Tracker,
        Meta(
            description="`learned`, or a baseline for comparison: `pi` (one controller on the sum of the meters, spread over all cars), "
            "`open_loop`, `open_loop_replan` (also after a loss).",
            extra={"unit": "-"},
        ),
    ] = Tracker.LEARNED
    pi_gain: Annotated[float, Meta(description="Proportional gain of the tracker `pi`.", extra={"unit": "-"}, ge=0, le=2)] = 0.15
    pi_integral_s: Annotated[float, Meta(description="Integral time of the tracker `pi`.", extra={"unit": "s"}, gt=0)] = 8.0
    stream_lead_share: Annotated[
        float,
        Meta(
            description="A streamed target whose last values agree on a trend is anticipated over the cars' learned lag by this share of "
            "what such trends went on by before. 0 = never.",
            extra={"unit": "0..1"},
            ge=0,
            le=1,
        ),
    ] = 0.85
    stream_size_worth: Annotated[
        float,
        Meta(
            description="On a stream the quick cars are moved first, and the large ones, for fewer messages: the largest car's size makes "
            "up for so many times the fleet's lag.",
            extra={"unit": "-"},
            ge=0,
            le=10,
        ),
    ] = 1.5
    tick_interval_s: Annotated[
        float, Meta(description="Period of the loop; known losses are acted on at once.", extra={"unit": "s"}, gt=0)
    ] = 4.0
    band_frac: Annotated[
        float, Meta(description="A gap below this share of the target sends no message.", extra={"unit": "0..1"}, ge=0, le=0.1)
    ] = 0.001
    band_w: Annotated[float, Meta(description="A gap below this power sends no message.", extra={"unit": "W"}, ge=0)] = 500.0
    quantum_w: Annotated[
        float, Meta(description="Smallest setpoint change that is worth a message; cars ignore smaller ones.", extra={"unit": "W"}, ge=0)
    ] = 300.0
    dwell_s: Annotated[
        float, Meta(description="A car keeps its power at least this long, except for safety or a loss.", extra={"unit": "s"}, ge=0)
    ] = 30.0
    scheduled_change_s: Annotated[
        float,
        Meta(
            description="A car in ISO 15118-20 ScheduledControl keeps its power at least this long, except for safety.",
            extra={"unit": "s"},
            ge=0,
        ),
    ] = 300.0
    scheduled_period_s: Annotated[
        float,
        Meta(
            description="Shortest period of a schedule for a car in ScheduledControl; of what is shorter it follows the lowest.",
            extra={"unit": "s"},
            ge=10,
        ),
    ] = 60.0
    scheduled_worth_frac: Annotated[
        float,
        Meta(
            description="A car in ScheduledControl is told something else only where others leave more of a gap than this share of the "
            "target.",
            extra={"unit": "0..1"},
            ge=0,
            le=1,
        ),
    ] = 0.02
    rearm_before_s: Annotated[
        float, Meta(description="An order that ends within this time is renewed when its car may go on.", extra={"unit": "s"}, gt=0)
    ] = 30.0
    rearm_share: Annotated[
        float,
        Meta(
            description="Largest share of the members that is renewed in one tick, so that renewals do not bunch.",
            extra={"unit": "0..1"},
            gt=0,
            le=1,
        ),
    ] = 0.1
    min_run_s: Annotated[
        float, Meta(description="A car that could discharge only for less than this is not raised.", extra={"unit": "s"}, ge=0)
    ] = 30.0
    hold_min_s: Annotated[
        float,
        Meta(
            description="Shortest hold at 0 W after an order's discharge; charging returns staggered between the two.",
            extra={"unit": "s"},
            ge=0,
        ),
    ] = 20.0
    hold_max_s: Annotated[float, Meta(description="Longest hold at 0 W after an order's discharge.", extra={"unit": "s"}, ge=0)] = 80.0
    lend_margin: Annotated[
        float,
        Meta(
            description="A settled car counts against its site's export limit at what it gives plus this share of its order: others "
            "may use the rest. 1 = always at its whole order.",
            extra={"unit": "0..1"},
            gt=0,
            le=1,
        ),
    ] = 0.05
    least_charge_w: Annotated[
        float,
        Meta(
            description="A slowed car charges at no less than this, where it has not told its own minimum (6 A on three phases); else it "
            "is paused.",
            extra={"unit": "W"},
            ge=0,
        ),
    ] = 4_140.0
    retry_s: Annotated[float, Meta(description="An order with unknown outcome is sent again after this.", extra={"unit": "s"}, gt=0)] = 10.0
    underway_s: Annotated[
        float,
        Meta(
            description="A decision that does not show at the station yet (queued, or its fallback goes first) counts for this long.",
            extra={"unit": "s"},
            ge=0,
        ),
    ] = 15.0
    anticipate_s: Annotated[
        float, Meta(description="Cars whose order ends within this time are replaced ahead of it.", extra={"unit": "s"}, ge=0)
    ] = 8.0
    costs: Annotated[CostSettings, Meta(description="What cars cost, for the policy economic.", extra={"unit": "-"})] = CostSettings()
    resort_s: Annotated[
        float, Meta(description="Under the merit policy the ranking is drawn up anew at most this often.", extra={"unit": "s"}, ge=0)
    ] = 300.0


class ResponseSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a car's response is learned (gain = delivered over asked)."""

    prior_gain: Annotated[
        float, Meta(description="Gain assumed before anything was learned of any car.", extra={"unit": "-"}, gt=0, le=1.5)
    ] = 0.95
    prior_weight: Annotated[
        float, Meta(description="Number of learned cars at which fleet mean and assumed gain weigh the same.", extra={"unit": "-"}, gt=0)
    ] = 20.0
    gain_min: Annotated[float, Meta(description="Lower clip of a learned gain.", extra={"unit": "-"}, ge=0)] = 0.2
    gain_max: Annotated[float, Meta(description="Upper clip of a learned gain.", extra={"unit": "-"}, gt=0)] = 1.15
    learn_from_w: Annotated[
        float,
        Meta(description="Readings at a smaller setpoint teach as if it were this large.", extra={"unit": "W"}, gt=0),
    ] = 2_000.0
    memory_readings: Annotated[
        int, Meta(description="A new reading weighs at least 1/(1 + this); more remembers longer.", extra={"unit": "-"}, ge=0)
    ] = 4
    settle_base_s: Annotated[float, Meta(description="Part of the settling time that every car needs.", extra={"unit": "s"}, ge=0)] = 12.0
    settle_share: Annotated[float, Meta(description="Share of the ramp time that is waited for on top.", extra={"unit": "-"}, ge=0)] = 0.6
    settle_ramp_min_s: Annotated[float, Meta(description="Shortest ramp time that is assumed.", extra={"unit": "s"}, ge=0)] = 8.0
    settle_ramp_w_per_s: Annotated[float, Meta(description="Slowest ramp that is assumed.", extra={"unit": "W/s"}, gt=0)] = 500.0
    prior_lag_s: Annotated[
        float,
        Meta(description="Time from an order to the middle of a car's step, before anything was seen of it.", extra={"unit": "s"}, gt=0),
    ] = 8.0
    stuck_share: Annotated[
        float,
        Meta(description="A car on its way is expected to reach at least this share of its setpoint.", extra={"unit": "0..1"}, ge=0, le=1),
    ] = 0.8
    stuck_margin_w: Annotated[
        float,
        Meta(description="A car this far behind the slowest ramp is counted at its meter until it moves.", extra={"unit": "W"}, gt=0),
    ] = 1_000.0
    low_share: Annotated[
        float,
        Meta(description="A settled reading below this share of the setpoint counts as no response.", extra={"unit": "0..1"}, ge=0, lt=1),
    ] = 0.3
    low_readings: Annotated[
        int, Meta(description="So many readings without response in a row make a non-responder.", extra={"unit": "-"}, ge=1)
    ] = 2
    idle_import_w: Annotated[
        float, Meta(description="A held car that still draws more than this does not respond either.", extra={"unit": "W"}, gt=0)
    ] = 1_000.0
    reprobe_s: Annotated[float, Meta(description="A non-responder is given another chance after this.", extra={"unit": "s"}, gt=0)] = 900.0
