"""Scenarios 25 and 26 of control.md 9: what the registers tell against the truth, and whether every grid adds up to the same Wh."""

import numpy as np

from counterflow.app.bench.settlement.metered import LATE_S, START_S, WINDOW_S, Metered, Sampling, in_any_order, metered, received_by
from counterflow.domain.delivery import DeliveryReport, Stored
from counterflow.engine.settlement.delivery import build_report
from counterflow.engine.settlement.intervals import build_intervals, interval_edges_s
from counterflow.engine.settlement.settings import SettlementSettings

GRIDS_S = (4.0, 60.0, 900.0)
ALIGNED = {"60 s": Sampling(60.0), "300 s": Sampling(300.0)}
FAULTS = Sampling(60.0, lost=0.05, late=0.2, repeated=0.2, resets=0.05, rollovers=0.1)

_SETTINGS = SettlementSettings()
_LAST_S = START_S + WINDOW_S + 2.0 * LATE_S


def aligned(seed: int, sessions: int) -> dict[str, float]:
    """Scenario 25: registers read at the edges of the window."""
    found: dict[str, float] = {}
    broken = 0
    for name, sampling in ALIGNED.items():
        world = metered(seed, sampling, sessions)
        report = _report(world.stored)
        found[f"rms {name}"], found[f"bias {name}"] = _errors(report, world)
        broken += _broken(world.stored, report, seed)
    return found | {"conservation": float(broken)}


def faulty(seed: int, sessions: int) -> dict[str, float]:
    """Scenario 26: resets, rollovers, duplicates, messages up to an hour late, 5 % lost; the edges of the window are there."""
    world = metered(seed, FAULTS, sessions)
    report = _report(world.stored)
    first = _report(received_by(world.stored, START_S + WINDOW_S + 60.0))
    rms, bias = _errors(report, world)
    early, _ = _errors(first, world)
    held = {"conservation": float(_broken(world.stored, report, seed)), "outside": _outside(report, world)}
    return {"rms": rms, "bias": bias, "early": early, "flagged": 100.0 * report.flagged_wh / report.delivered_energy_wh} | held


def _report(stored: Stored) -> DeliveryReport:
    return build_report(stored, _LAST_S, settings=_SETTINGS, final=True, version=1)


def _errors(report: DeliveryReport, world: Metered) -> tuple[float, float]:
    """RMS of the sessions' errors over their mean, and the fleet's error, %."""
    told = np.array([session.delivered_wh for session in report.sessions])
    rms = float(np.sqrt(np.mean((told - world.true_wh) ** 2)) / world.true_wh.mean())
    return 100.0 * rms, 100.0 * abs(float(told.sum() / world.true_wh.sum()) - 1.0)


def _outside(report: DeliveryReport, world: Metered) -> float:
    """Share of the sessions whose truth does not lie within the uncertainty that is told (which is about 95 %), %."""
    pairs = zip(report.sessions, world.true_wh.tolist(), strict=True)
    outside = [abs(session.delivered_wh - true) > session.uncertainty_wh + 0.5 for session, true in pairs]
    return 100.0 * float(np.mean(outside))


def _broken(stored: Stored, report: DeliveryReport, seed: int) -> int:
    """How many sums are not the report's whole Wh, over all grids, with the messages as they came and in another order with duplicates."""
    mixed = in_any_order(stored, seed)
    sums = [sum(session.delivered_wh for session in report.sessions), sum(point.delivered_energy_wh for point in report.series)]
    sums.append(_report(mixed).delivered_energy_wh)
    for each in (stored, mixed):
        for step_s in GRIDS_S:
            edges_s = interval_edges_s(each, step_s, _LAST_S)
            made = build_intervals(each, edges_s.tolist(), _LAST_S, settings=_SETTINGS, version=1)
            sums.append(sum(interval.delivered_wh for interval in made))
    return sum(total != report.delivered_energy_wh for total in sums)
