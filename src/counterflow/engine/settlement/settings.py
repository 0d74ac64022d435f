"""What settlement can be tuned by."""

from typing import Annotated

from msgspec import Meta, Struct

from counterflow.engine.fleet.undisturbed import ChargingTerms


class BaselineSettings(ChargingTerms, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tunables of the baselines."""

    around_s: Annotated[
        float,
        Meta(
            description="Meter before and after: length of the window before a car joins and of the one after the stop; also of "
            "what an X-of-Y baseline compares of today.",
            extra={"unit": "s"},
            gt=0,
            le=900,
        ),
    ] = 900.0
    after_delay_s: Annotated[
        float, Meta(description="The window after begins this long after the stop.", extra={"unit": "s"}, ge=0, le=900)
    ] = 60.0
    forward_step_s: Annotated[
        float, Meta(description="Forward simulation: a plan is cut into steps of this.", extra={"unit": "s"}, ge=1, le=900)
    ] = 60.0
    history_days: Annotated[
        int, Meta(description="X of Y: so many earlier days of the same kind (Y).", extra={"unit": "d"}, ge=1, le=30)
    ] = 10
    history_step_s: Annotated[
        float, Meta(description="X of Y: the profile of an EVSE is in steps of this.", extra={"unit": "s"}, ge=300, le=3600)
    ] = 900.0
    same_day_frac: Annotated[
        float, Meta(description="10 of 10: today shifts it by this share at most.", extra={"unit": "0..1"}, ge=0, le=1)
    ] = 0.2


class SettlementSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tunables of delivery curves and scores."""

    gap_intervals: Annotated[
        float,
        Meta(
            description="A stretch without samples longer than this many usual sample intervals is marked as a gap.",
            extra={"unit": "-"},
            ge=1.5,
        ),
    ] = 2.5
    gap_min_s: Annotated[
        float, Meta(description="Shorter stretches without samples are never marked as gaps.", extra={"unit": "s"}, gt=0)
    ] = 12.0
    context_s: Annotated[
        float,
        Meta(
            description="Samples this far before and after the window are used to find the energy at its boundaries.",
            extra={"unit": "s"},
            ge=0,
        ),
    ] = 3600.0
    plausible_power_w: Annotated[
        float,
        Meta(description="A register step is never called a spike below this power, whatever was measured.", extra={"unit": "W"}, gt=0),
    ] = 22_000.0
    min_metered_share: Annotated[
        float,
        Meta(description="Below this share of metered member time the power of a step is unknown.", extra={"unit": "0..1"}, ge=0, le=1),
    ] = 0.9
    hold_s: Annotated[
        float, Meta(description="How long the headroom of one control tick holds for the series.", extra={"unit": "s"}, gt=0)
    ] = 15.0
    score_step_s: Annotated[float, Meta(description="Grid on which RMSE and time in band are judged.", extra={"unit": "s"}, gt=0)] = 4.0
    worst_step_s: Annotated[float, Meta(description="Length of the means of which the worst is reported.", extra={"unit": "s"}, gt=0)] = (
        10.0
    )
    settle_s: Annotated[
        float,
        Meta(
            description="Scores begin this long after the start, and pause this long after each change of target.",
            extra={"unit": "s"},
            ge=0,
        ),
    ] = 60.0
    burst_recovery_s: Annotated[
        float, Meta(description="Scores leave out this long after a burst of drop-outs.", extra={"unit": "s"}, ge=0)
    ] = 45.0
    burst_span_s: Annotated[
        float, Meta(description="Drop-outs within this time of the first belong to one burst.", extra={"unit": "s"}, ge=0)
    ] = 10.0
    burst_frac: Annotated[
        float,
        Meta(
            description="Drop-outs count as a burst from this share of the target on; single cars of a large fleet do not.",
            extra={"unit": "0..1"},
            ge=0,
            le=1,
        ),
    ] = 0.02
    band_frac: Annotated[
        float, Meta(description="Half-width of the band around the target for the time in band.", extra={"unit": "0..1"}, gt=0)
    ] = 0.05
    baselines: BaselineSettings = BaselineSettings()
    clock_skew_s: Annotated[
        float, Meta(description="A station whose clock is off by more than this is named in the report.", extra={"unit": "s"}, gt=0)
    ] = 2.0
    recovery_s: Annotated[
        float,
        Meta(
            description="Charging up to this long after the stop is counted as recovery; 0 = it is not counted.",
            extra={"unit": "s"},
            ge=0,
            le=86_400,
        ),
    ] = 3600.0
    gate_closure_days: Annotated[
        float,
        Meta(
            description="So long after the end late meter values still make a new version of a report; after that its figures stand.",
            extra={"unit": "d"},
            gt=0,
            le=366,
        ),
    ] = 7.0
    notes_max: Annotated[int, Meta(description="Most notes that one report carries.", extra={"unit": "-"}, ge=1)] = 50
