"""What a session begins with: how its car answered before, shrunk to what cars of its model do, shrunk to what cars at its model of EVSE
do, shrunk to the default.

The fewer readings there are of the narrower, the more of the wider is in the mean (control reference 4.5). A prior is a guess that the
session's own readings replace: it is clipped like what is learned, counts as no reading of this session wherever a limit is lent on
readings, and keeps a car out no longer than a conviction of now would.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from msgspec.structs import replace

from counterflow.domain.records import NO_TRANSITIONS, LearnedResponse, Transitions
from counterflow.engine.control.lags import SUMS
from counterflow.engine.control.lags import for_sessions as lags_for_sessions
from counterflow.engine.control.response import RUNS_ON_W, ResponseMemory
from counterflow.engine.control.response import for_sessions as response_for_sessions
from counterflow.engine.control.settings import ResponseSettings
from counterflow.engine.fleet.snapshot import FleetImage


class PriorSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of what was learned of a car, of others of its model, and of others at its model of EVSE, its next session begins with."""

    car_weight: Annotated[
        float,
        Meta(
            description="So many settled readings of a car weigh as much as what is known of its model, or of its EVSE's.",
            extra={"unit": "-"},
            gt=0,
        ),
    ] = 2.0
    model_weight: Annotated[
        float,
        Meta(
            description="So many settled readings of a model of EVSE, or of car, weigh as much as what is known more widely.",
            extra={"unit": "-"},
            gt=0,
        ),
    ] = 20.0
    start_readings: Annotated[
        int,
        Meta(description="A known car's prior counts like at most so many readings of its new session.", extra={"unit": "-"}, ge=0),
    ] = 3
    car_readings: Annotated[
        float, Meta(description="So many readings are remembered of a car; older ones fade.", extra={"unit": "-"}, ge=1)
    ] = 40.0
    model_readings: Annotated[
        float, Meta(description="So many readings are remembered of a model of EVSE or of car; older ones fade.", extra={"unit": "-"}, ge=1)
    ] = 2_000.0
    session_readings: Annotated[
        float,
        Meta(description="One session counts for its models of EVSE and of car with at most so many readings.", extra={"unit": "-"}, ge=1),
    ] = 10.0


class Start(Struct, frozen=True, kw_only=True):
    """What a session begins with. `readings` are those that its gain counts like; `known` = there is more to it than the default."""

    known: bool
    gain: float
    readings: int
    idle_w: float
    idle_readings: int
    transitions: Transitions
    out_until_s: float


def start_of(
    own: LearnedResponse | None,
    model: LearnedResponse | None,
    now_s: float,
    settings: PriorSettings,
    response: ResponseSettings,
    *,
    same_car: bool,
    vehicles: LearnedResponse | None = None,
) -> Start:
    """The prior of a new session. `own` is of its vehicle (`same_car`), or of its EVSE, where any car may have been before; `model` of all
    cars at its model of EVSE, `vehicles` of all cars of its own model, which says more."""
    nothing = LearnedResponse(subject="", at_s=now_s)
    own, model, vehicles = own or nothing, model or nothing, vehicles or nothing
    gain = _shrunk(model.gain, model.gain_readings, response.prior_gain, settings.model_weight)
    gain = _shrunk(vehicles.gain, vehicles.gain_readings, gain, settings.model_weight)
    gain = _shrunk(own.gain, own.gain_readings, gain, settings.car_weight)
    idle_w = _shrunk(model.idle_w, model.idle_readings, 0.0, settings.model_weight)
    idle_w = _shrunk(vehicles.idle_w, vehicles.idle_readings, idle_w, settings.model_weight)
    idle_w = _shrunk(own.idle_w, own.idle_readings, idle_w, settings.car_weight)
    most = settings.start_readings if same_car else 0
    out_until_s = -np.inf
    if same_car and own.out_until_s is not None and own.out_until_s > now_s:
        out_until_s = min(own.out_until_s, now_s + response.reprobe_s)
    return Start(
        # A model of which little is known says less than what the fleet of now teaches.
        known=own.gain_readings > 0.0 or max(model.gain_readings, vehicles.gain_readings) >= settings.model_weight,
        gain=min(max(gain, response.gain_min), response.gain_max),
        readings=int(min(own.gain_readings, most)),
        idle_w=min(max(idle_w, -response.idle_import_w), RUNS_ON_W),
        idle_readings=int(min(own.idle_readings, most)),
        transitions=at_most(
            _added(own.transitions, at_most(_wider(model.transitions, vehicles.transitions, settings), settings.car_weight)), np.inf
        ),
        out_until_s=out_until_s,
    )


def begin(image: FleetImage, response: ResponseMemory, starts: Mapping[int, Start], settings: ResponseSettings) -> ResponseMemory:
    """The memory, with what the sessions in these rows of `image` begin with."""
    response, lags = response_for_sessions(image, response, settings), lags_for_sessions(image, response.lags)
    rows = np.fromiter(starts, dtype=np.int64, count=len(starts))

    def put(memory: ResponseMemory, name: str, source: str) -> ResponseMemory:
        column = getattr(memory, name).copy()
        column[rows] = [getattr(start, source) for start in starts.values()]
        return replace(memory, **{name: column})

    for name, source in _COLUMNS.items():
        response = put(response, name, source)
    sums = np.array([start.transitions for start in starts.values()]).reshape(-1, len(SUMS))
    columns = {name: getattr(lags, name).copy() for name in SUMS}
    for at, name in enumerate(SUMS):
        columns[name][rows] = sums[:, at]
    return replace(response, lags=replace(lags, **columns))


_COLUMNS = {
    "known": "known",
    "gain": "gain",
    "prior_readings": "readings",
    "idle_w": "idle_w",
    "idle_readings": "idle_readings",
    "not_responding_until_s": "out_until_s",
}


def learned_of(subject: str, at_s: float, response: ResponseMemory, row: int, start: Start) -> LearnedResponse:
    """What the session in this row has taught, without what it began with."""
    until_s = float(response.not_responding_until_s[row])
    sums = (0.0,) * len(SUMS) if row >= len(response.lags.uid) else tuple(float(getattr(response.lags, name)[row]) for name in SUMS)
    count, half_w, half_w2, lag_s, lag_half = (max(0.0, now - then) for now, then in zip(sums, start.transitions, strict=True))
    return LearnedResponse(
        subject=subject,
        at_s=at_s,
        gain=float(response.gain[row]),
        gain_readings=float(response.readings[row]),
        idle_w=float(response.idle_w[row]),
        idle_readings=float(max(0, response.idle_readings[row] - start.idle_readings)),
        transitions=(count, half_w, half_w2, lag_s, lag_half) if count > 0.0 else NO_TRANSITIONS,
        out_until_s=until_s if isfinite(until_s) else None,
    )


def taught(learned: LearnedResponse) -> bool:
    """Whether there is anything in it."""
    readings = learned.gain_readings + learned.idle_readings + learned.transitions[0]
    return readings > 0.0 or learned.out_until_s is not None


def merged(before: LearnedResponse | None, newer: LearnedResponse, most: float) -> LearnedResponse:
    """Both together, as `newer`'s subject, with at most so many readings; the older fade first.

    Of a car that did not follow and was left out, nothing of before is kept: its next chance starts from the wider prior.
    """
    if before is None or newer.out_until_s is not None:
        before = LearnedResponse(subject=newer.subject, at_s=newer.at_s)
    gain, gain_readings = _joined(before.gain, before.gain_readings, newer.gain, newer.gain_readings, most)
    idle_w, idle_readings = _joined(before.idle_w, before.idle_readings, newer.idle_w, newer.idle_readings, most)
    added = at_most(newer.transitions, most)
    return LearnedResponse(
        subject=newer.subject,
        at_s=max(before.at_s, newer.at_s),
        gain=gain,
        gain_readings=gain_readings,
        idle_w=idle_w,
        idle_readings=idle_readings,
        transitions=_added(at_most(before.transitions, most - added[0]), added),
        out_until_s=newer.out_until_s,
    )


def for_model(before: LearnedResponse | None, subject: str, session: LearnedResponse, settings: PriorSettings) -> LearnedResponse:
    """What is known of a model of EVSE, with one session more; a car that is left out says nothing about the others."""
    one = merged(None, replace(session, subject=subject, out_until_s=None), settings.session_readings)
    return merged(before, one, settings.model_readings)


def with_transitions(
    before: LearnedResponse | None, subject: str, at_s: float, transitions: Transitions, most: tuple[float, float]
) -> LearnedResponse:
    """What is known of a subject, with transitions that were identified between events; `most`: so many are remembered of it in all, and
    so many of these."""
    before = before or LearnedResponse(subject=subject, at_s=at_s)
    in_all, at_once = most
    added = at_most(transitions, at_once)
    return replace(before, at_s=max(before.at_s, at_s), transitions=_added(at_most(before.transitions, in_all - added[0]), added))


def at_most(sums: Transitions, most: float) -> Transitions:
    """What transitions say, as if they were no more than `most`."""
    count, half_w, half_w2, lag_s, lag_half = sums
    if not (count > 0.0 and all(isfinite(one) for one in sums)):
        return NO_TRANSITIONS
    share = min(1.0, max(0.0, most) / count)
    return share * count, share * half_w, share * half_w2, share * lag_s, share * lag_half


def _shrunk(mean: float, readings: float, wider: float, weight: float) -> float:
    return (readings * mean + weight * wider) / (readings + weight) if readings > 0.0 and isfinite(mean) else wider


def _joined(before: float, readings: float, newer: float, more: float, most: float) -> tuple[float, float]:
    more = min(more, most)
    readings = min(readings, most - more)
    total = readings + more
    return ((readings * before + more * newer) / total, total) if total > 0.0 else (0.0, 0.0)


def _wider(model: Transitions, vehicles: Transitions, settings: PriorSettings) -> Transitions:
    """Those of cars of its model, with those at the model of EVSE as if they were `model_weight` more."""
    return _added(vehicles, at_most(model, settings.model_weight))


def _added(one: Transitions, other: Transitions) -> Transitions:
    one = at_most(one, np.inf)
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3], one[4] + other[4]
