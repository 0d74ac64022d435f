"""What can be tuned in this room: how telemetry is read into the fleet, and how careful the capability model is."""

from typing import Annotated

from msgspec import Meta, Struct


class FleetSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How reports of stations become the state of the fleet."""

    operator_min_soc_frac: Annotated[
        float,
        Meta(description="No car is discharged below this, whatever its driver agreed to.", extra={"unit": "0..1"}, ge=0, le=1),
    ] = 0.1
    nameplate_share: Annotated[
        float,
        Meta(
            description="Share of the EVSE's rating that is counted on while the car has not told its own.", extra={"unit": "-"}, ge=0, le=1
        ),
    ] = 0.9
    max_clock_ahead_s: Annotated[
        float,
        Meta(
            description="A timestamp further ahead of ours is replaced by the time of arrival, and the car is not discharged: the "
            "station would end its orders too early.",
            extra={"unit": "s"},
            ge=0,
            le=3600,
        ),
    ] = 30.0
    max_clock_behind_s: Annotated[
        float,
        Meta(
            description="A live value dated further back than this when it comes shows a clock that is wrong, or a station that is "
            "late: it would begin and end its orders too late, and is not discharged.",
            extra={"unit": "s"},
            ge=1,
            le=3600,
        ),
    ] = 30.0
    interval_weight: Annotated[
        float,
        Meta(description="Weight of the newest spacing in the observed meter interval.", extra={"unit": "-"}, gt=0, le=1),
    ] = 0.2
    early_needs_s: Annotated[
        float,
        Meta(
            description="Charging needs that come this long before their transaction are kept for it.", extra={"unit": "s"}, ge=0, le=86_400
        ),
    ] = 900.0
    needs_soc_age_s: Annotated[
        float,
        Meta(description="A state of charge at most this far from the needs may stand in for theirs.", extra={"unit": "s"}, ge=0, le=3600),
    ] = 300.0
    max_inference_soc_frac: Annotated[
        float,
        Meta(
            description="Above this state of charge the capacity is not inferred from the room left.", extra={"unit": "0..1"}, ge=0, le=0.99
        ),
    ] = 0.95
    ended_sessions_kept: Annotated[
        int,
        Meta(
            description="How many ended sessions are remembered, so that late messages find theirs.",
            extra={"unit": "sessions"},
            ge=1,
            le=1_000_000,
        ),
    ] = 16_384


class CapabilitySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How careful the model is of what a car may be asked: reserve kept above the floor, before departure, and against meters that err."""

    k_sigma: Annotated[
        float,
        Meta(description="Standard deviations of the state of charge kept above the floor.", extra={"unit": "-"}, ge=0, le=10),
    ] = 3.6
    sigma_bms: Annotated[
        float,
        Meta(description="Standard deviation of the reported state of charge.", extra={"unit": "0..1"}, ge=0, le=0.2),
    ] = 0.015
    soc_resolution: Annotated[
        float,
        Meta(description="Step in which the state of charge is reported.", extra={"unit": "0..1"}, ge=0, le=0.2),
    ] = 0.01
    sigma_eta: Annotated[
        float,
        Meta(description="Relative standard deviation of energy reckoned from the meter.", extra={"unit": "-"}, ge=0, le=0.5),
    ] = 0.03
    eta_charge: Annotated[
        float,
        Meta(description="Efficiency grid to battery, at the careful end.", extra={"unit": "-"}, gt=0, le=1),
    ] = 0.90
    eta_discharge: Annotated[
        float,
        Meta(description="Efficiency battery to grid, at the careful end.", extra={"unit": "-"}, gt=0, le=1),
    ] = 0.90
    eta_discharge_peak: Annotated[
        float,
        Meta(
            description="Efficiency battery to grid without standing_loss_w; the two tell where eta_discharge is not careful enough: below "
            "7 kW with the defaults.",
            extra={"unit": "-"},
            gt=0,
            le=1,
        ),
    ] = 0.92
    standing_loss_w: Annotated[
        float,
        Meta(description="What a car that discharges takes of its battery beside that, whatever its power.", extra={"unit": "W"}, ge=0),
    ] = 150.0
    command_latency_s: Annotated[
        float,
        Meta(description="Longest usual time from our decision to the car's new power.", extra={"unit": "s"}, ge=0, le=600),
    ] = 10.0
    laxity_margin_s: Annotated[
        float,
        Meta(description="Time kept in reserve before departure.", extra={"unit": "s"}, ge=0, le=86_400),
    ] = 1200.0
    laxity_hysteresis_s: Annotated[
        float,
        Meta(
            description="A car that had to charge must win this much time before it is discharged again.",
            extra={"unit": "s"},
            ge=0,
            le=86_400,
        ),
    ] = 1200.0
    silence_factor: Annotated[
        float,
        Meta(description="A session is silent after this many meter intervals without a power value.", extra={"unit": "-"}, ge=1, le=100),
    ] = 3.5
    silence_min_s: Annotated[
        float,
        Meta(description="A session is never called silent sooner.", extra={"unit": "s"}, ge=0, le=3600),
    ] = 12.0
    default_meter_interval_s: Annotated[
        float,
        Meta(description="Meter interval assumed while none is confirmed or observed.", extra={"unit": "s"}, gt=0, le=3600),
    ] = 10.0
    min_run_s: Annotated[
        float,
        Meta(description="A car that cannot run for this long at its smallest power is not asked.", extra={"unit": "s"}, ge=0, le=3600),
    ] = 30.0
    taper_from_soc_frac: Annotated[
        float,
        Meta(description="Above this state of charge the charging power falls off.", extra={"unit": "0..1"}, ge=0, le=0.99),
    ] = 0.8
    taper_end_share: Annotated[
        float,
        Meta(description="Share of its charging power that a full car still takes.", extra={"unit": "-"}, gt=0, lt=1),
    ] = 0.25
