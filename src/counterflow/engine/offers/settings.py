"""What can be tuned in this room: how sure an offer is, and what is assumed where little was learned yet."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from counterflow.domain.instructions import DispatchMode


class OfferSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How sure an offer is, and what is assumed where little was learned yet."""

    confidence: Annotated[
        float,
        Meta(
            description="Probability that the offered power is there for the whole window, where none is asked for.",
            extra={"unit": "0..1"},
            gt=0,
            lt=1,
        ),
    ] = 0.9
    method: Annotated[
        Literal["quantile", "cvar"],
        Meta(
            description="`quantile`: met with the asked confidence. `cvar`: the mean of what is there in the cases beyond it; lower.",
            extra={"unit": "-"},
        ),
    ] = "quantile"
    scenarios: Annotated[
        int, Meta(description="Scenarios that an offer is worked out from.", extra={"unit": "-"}, ge=1_000, le=100_000)
    ] = 2_000
    bound_doubt: Annotated[
        float,
        Meta(
            description="Probability that so many scenarios make the offer look surer than it is (order-statistic bound).",
            extra={"unit": "0..1"},
            gt=0,
            le=0.5,
        ),
    ] = 0.05
    seed: Annotated[int, Meta(description="Seed of the scenarios: the same fleet gives the same offer.", extra={"unit": "-"}, ge=0)] = 1
    exact_cars: Annotated[
        int, Meta(description="Up to so many cars are taken one by one; more are taken together by kind.", extra={"unit": "cars"}, ge=30)
    ] = 100
    leave_per_h: Annotated[
        float,
        Meta(
            description="Cars that leave before they said, per plugged-in car and hour, as long as nothing was learned.",
            extra={"unit": "1/h"},
            gt=0,
            le=10,
        ),
    ] = 0.05
    leave_weight: Annotated[
        float,
        Meta(
            description="A rate of departure counts like so many departures where its narrower kind was seen seldom.",
            extra={"unit": "departures"},
            gt=0,
        ),
    ] = 20.0
    leave_memory_days: Annotated[
        float, Meta(description="What was learned of departures fades to half in this time.", extra={"unit": "d"}, gt=0)
    ] = 60.0
    shock_spread: Annotated[
        float,
        Meta(
            description="Standard deviation of what makes all cars leave sooner or later together, as a share of the usual rate, "
            "as long as nothing was learned.",
            extra={"unit": "-"},
            ge=0,
            le=3,
        ),
    ] = 0.3
    shock_weight: Annotated[
        float,
        Meta(description="That assumption counts like so many days that were seen.", extra={"unit": "d"}, gt=0),
    ] = 3.0
    rush_every_days: Annotated[
        float,
        Meta(description="As long as nothing was learned, so often many cars leave at once, at any time.", extra={"unit": "d"}, gt=0),
    ] = 30.0
    rush_share: Annotated[float, Meta(description="The share of all cars that leaves then.", extra={"unit": "0..1"}, gt=0, lt=1)] = 0.1
    gain_spread: Annotated[
        float,
        Meta(
            description="Standard deviation of a car's response around its learned gain, as long as nothing was learned.",
            extra={"unit": "-"},
            ge=0,
            le=1,
        ),
    ] = 0.1
    common_gain_spread: Annotated[
        float,
        Meta(
            description="Error of the learned gains that all cars share, as long as nothing was learned.", extra={"unit": "-"}, ge=0, le=0.5
        ),
    ] = 0.01
    answer_weight: Annotated[
        float, Meta(description="That assumption counts like so many dispatches that were seen.", extra={"unit": "dispatches"}, gt=0)
    ] = 10.0
    energy_spread: Annotated[
        float,
        Meta(
            description="Standard deviation of a car's usable energy: error of its state of charge, capacity and losses.",
            extra={"unit": "-"},
            ge=0,
            le=1,
        ),
    ] = 0.1
    common_energy_spread: Annotated[
        float, Meta(description="Error of the usable energy that all cars share.", extra={"unit": "-"}, ge=0, le=0.5)
    ] = 0.01
    tolerated_share: Annotated[
        float,
        Meta(
            description="Of up to this share of its cars it may be unknown how full they are before a pool is not forecast as a storage; "
            "they count as anything between empty and full.",
            extra={"unit": "0..1"},
            ge=0,
            lt=1,
        ),
    ] = 0.2
    valid_s: Annotated[
        float, Meta(description="So long somebody may commit to an offer, at most until its window begins.", extra={"unit": "s"}, gt=0)
    ] = 300.0
    kept_days: Annotated[
        int, Meta(description="Commitments that are over, and the coverage record, are kept for so long.", extra={"unit": "d"}, ge=31)
    ] = 400
    forecast_every_s: Annotated[
        float,
        Meta(description="A forecast of every pool is made this often and judged when its window has passed.", extra={"unit": "s"}, ge=60),
    ] = 900.0
    forecast_windows_s: Annotated[
        tuple[Annotated[float, Meta(ge=300, le=86_400)], ...],
        Meta(description="Lengths of the windows that are forecast and judged.", extra={"unit": "s"}, max_length=6),
    ] = (900.0, 3600.0)
    forecast_modes: Annotated[
        tuple[DispatchMode, ...],
        Meta(
            description="Modes in which every pool is forecast and judged; how cars answer is learned by the first of them.",
            extra={"unit": "-"},
            min_length=1,
            max_length=3,
        ),
    ] = (DispatchMode.NET_EXPORT, DispatchMode.GROSS_EXPORT, DispatchMode.RELATIVE)
    look_every_s: Annotated[
        float,
        Meta(description="While a window runs it is looked this often which cars are still there.", extra={"unit": "s"}, ge=1, le=300),
    ] = 30.0
