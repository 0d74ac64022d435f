"""What is demanded of the forecasts, and what was measured: rows 23 and 24 of the scenario table, and this program's own aims."""

from collections.abc import Mapping, Sequence
from math import isnan

import numpy as np
from msgspec import Struct

from counterflow.app.bench.offers.judging import RELIABILITY, Judged, Setting
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.offers import LEVELS
from counterflow.engine.fleet.snapshot import F8

_P90, _P95 = RELIABILITY.index(0.9), RELIABILITY.index(0.95)
_ALONE_P90, _ALONE_P95 = LEVELS.index(0.9), LEVELS.index(0.95)


class Figure(Struct, frozen=True, kw_only=True):
    """A value with the range that is the goal, and that which is more than was hoped for (None = there is none)."""

    key: str
    title: str
    unit: str
    value: float
    goal: tuple[float, float] | None = None
    moonshot: tuple[float, float] | None = None

    @property
    def verdict(self) -> str:
        """In one word."""
        if isnan(self.value):
            return "missing"
        if self.goal is None:
            return ""
        if self.moonshot is not None and self.moonshot[0] <= self.value <= self.moonshot[1]:
            return "moonshot"
        return "met" if self.goal[0] <= self.value <= self.goal[1] else "missed"


def pinball_w(said_w: F8, there_w: F8, quantile: float) -> float:
    """Mean pinball loss of forecasts (F,) of a quantile, W."""
    over_w = there_w - said_w
    return float(np.where(over_w >= 0.0, quantile * over_w, (quantile - 1.0) * over_w).mean())


def derated_w(known_w: F8, there_w: F8, quantile: float) -> F8:
    """The best constant share of the known power (F,), found with hindsight on the very forecasts that it is judged on."""
    return float(np.quantile(there_w / known_w, quantile)) * known_w


def of_judged(judged: Judged, *, guard: bool = False) -> list[Figure]:
    """Coverage at P50 to P99, sharpness, and the losses beside the two simpler rules. `guard`: see `Setting.guard`."""
    there_w = judged.there_w
    kept = (there_w[:, np.newaxis] >= judged.said_w).mean(axis=0) * 100.0
    beside = ~np.isnan(judged.independent_w[:, 0])
    alone = (there_w[beside, np.newaxis] >= judged.independent_w[beside]).mean(axis=0) * 100.0
    losses = {
        level: (
            pinball_w(judged.said_w[beside, ours], there_w[beside], 1.0 - level),
            pinball_w(judged.independent_w[beside, theirs], there_w[beside], 1.0 - level),
        )
        for level, ours, theirs in ((0.9, _P90, _ALONE_P90), (0.95, _P95, _ALONE_P95))
    }
    derated = pinball_w(derated_w(judged.known_w, there_w, 0.1), there_w, 0.1)
    ours_90 = pinball_w(judged.said_w[:, _P90], there_w, 0.1)
    goals: Mapping[float, tuple[tuple[float, float] | None, tuple[float, float] | None]] = {
        0.9: ((85.0, 96.0) if guard else (89.0, 93.0), None),
        0.95: ((91.0, 98.5), None) if guard else ((93.5, 96.5), (94.5, 95.5)),
    }
    figures = [
        Figure(
            key=f"kept_{level:g}",
            title=f"P{level * 100.0:g} was there",
            unit="%",
            value=float(kept[place]),
            goal=goals.get(level, (None, None))[0],
            moonshot=goals.get(level, (None, None))[1],
        )
        for place, level in enumerate(RELIABILITY)
        if level in LEVELS
    ]
    return [
        *figures,
        Figure(key="alone_90", title="P90 of the independent model was there", unit="%", value=float(alone[_ALONE_P90])),
        Figure(key="alone_95", title="P95 of the independent model was there", unit="%", value=float(alone[_ALONE_P95])),
        Figure(
            key="sharpness", title="P90 over what was there", unit="%", value=float(judged.said_w[:, _P90].mean() / there_w.mean() * 100.0)
        ),
        Figure(key="pinball", title="pinball loss of P90, of what was there", unit="%", value=ours_90 / float(there_w.mean()) * 100.0),
        Figure(key="against_alone_90", title="loss of P90 against the independent model", unit="%", value=_change(*losses[0.9])),
        Figure(key="against_alone_95", title="loss of P95 against the independent model", unit="%", value=_change(*losses[0.95])),
        Figure(
            key="against_derating",
            title="loss of P90 against the best constant derating",
            unit="%",
            value=_change(ours_90, derated),
            goal=(-100.0, 0.0),
        ),
        Figure(key="spread", title="common spread that was learned", unit="%", value=judged.spread * 100.0),
    ]


def of_shocks(found: Sequence[tuple[Setting, Sequence[Figure]]]) -> Figure:
    """Row 23: what knowing of common shocks is worth, over the settings that have them."""
    values = [
        each.value
        for setting, figures in found
        if setting.spread > 0.0 and not setting.guard and setting.mode is DispatchMode.NET_EXPORT
        for each in figures
        if each.key == "against_alone_95"
    ]
    return Figure(
        key="shocks",
        title="23 pinball loss of P95 against the independent model, settings with shocks",
        unit="%",
        value=float(np.mean(values)) if values else float("nan"),
        goal=(-100.0, -20.0),
        moonshot=(-100.0, -40.0),
    )


def _change(ours: float, theirs: float) -> float:
    return (ours / theirs - 1.0) * 100.0
