"""How far each baseline is from what the cars would have drawn, on simulated days (control.md 6)."""

from math import sqrt
from statistics import fmean

from msgspec.structs import replace

from counterflow.app.bench.settlement.days import EVSES, QUARTER_S, Played, played
from counterflow.app.bench.settlement.metered import START_S
from counterflow.domain.delivery import DeliveryReport
from counterflow.domain.settlement import BaselineMethod
from counterflow.engine.settlement.delivery import build_report
from counterflow.engine.settlement.settings import SettlementSettings

METHODS: tuple[BaselineMethod, ...] = tuple(method for method in BaselineMethod if method is not BaselineMethod.ZERO)
QUARTER = "declared, first quarter of an hour"

_SETTINGS = SettlementSettings()
_LATER_S = 40_000.0


def baselines(seed: int, days: int, evses: int = EVSES) -> dict[str, float]:
    """Bias and RMS of the pool's baseline over some days, % of what would have been drawn, by method."""
    errors: dict[str, list[float]] = {name: [] for name in (*(method.value for method in METHODS), QUARTER)}
    for number in range(days):
        day = played(1_000 * seed + number, evses)
        for method in METHODS:
            report = settled(day, method)
            base_wh = -sum(point.baseline_energy_wh for point in report.series)
            errors[method.value].append(_off(base_wh, day.would_wh))
            if method is BaselineMethod.DECLARED:
                early_wh = -sum(point.baseline_energy_wh for point in report.series if point.from_s < START_S + QUARTER_S)
                errors[QUARTER].append(_off(early_wh, day.quarter_wh))
    found: dict[str, float] = {}
    for name, values in errors.items():
        found[f"{name} bias"] = fmean(values)
        found[f"{name} rms"] = sqrt(fmean(value**2 for value in values))
    return found


def settled(day: Played, method: BaselineMethod) -> DeliveryReport:
    """The report of a day by a method, in steps of a minute."""
    order = replace(day.stored.instruction, baseline=method)
    return build_report(replace(day.stored, instruction=order), START_S + _LATER_S, settings=_SETTINGS, step_s=60.0, final=True, version=1)


def _off(told_wh: float, true_wh: float) -> float:
    return 100.0 * (told_wh / true_wh - 1.0)
