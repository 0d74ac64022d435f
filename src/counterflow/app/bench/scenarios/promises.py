"""Scenarios 16, 17, 28 and 29: what is promised to drivers and to a site's connection, whatever the target asks."""

import numpy as np
from msgspec.structs import replace

from counterflow.app.bench.scenarios.play import Course, play, set_up
from counterflow.app.bench.scenarios.regulation import regulation
from counterflow.app.bench.scenarios.scenario import OTHERS, Demand, Figures, Scenario, Setup
from counterflow.app.bench.scenarios.steps import lose
from counterflow.domain.ids import SiteId
from counterflow.domain.resources import Site
from counterflow.engine.control.settings import ControlSettings
from counterflow.engine.settlement.tracking import rmse_w
from counterflow.sim.plant.fleet import Wishes
from counterflow.sim.plant.nature import REFERENCE
from counterflow.sim.plant.plant import Plant

COARSE_S = 10.0
"""Hours are played in steps of the meter interval."""
WINDOW_S = 7_200.0
SHORT_FRAC = 0.01
CAP_SHARE = 0.6
RESUME_S = 60
DISPATCH_S = 600


def floors(setup: Setup) -> Figures:
    """16: everybody is run down as far as may be, with batteries that err by 1.5 %."""
    wishes = Wishes(
        cars=setup.cars, capacity_wh=(40_000.0, 100_000.0), soc_frac=(0.25, 0.75), floor_frac=(0.2, 0.5), target_frac=(0.5, 0.5)
    )
    nature = replace(REFERENCE, soc_error_sd=0.015, attrition_per_h=0.0)
    stage = set_up(nature, wishes, setup.seed, control=_coarse(setup), dt_s=COARSE_S)
    plant = stage.plant
    before, floor = plant.told_soc_frac(), plant.fleet.floor_frac
    best_wh, able_w = plant.above_floor_wh(), plant.able_w()
    play(stage, Course(target_w=np.full(round(WINDOW_S / COARSE_S), float(plant.fleet.max_w.sum()))))
    # No target binds here, so that the best is each car's own: all of its energy, as far as its power goes.
    best_wh = np.minimum(best_wh, able_w * WINDOW_S / 3_600.0)
    ours = (plant.export_wh > 0.0) & (before >= floor)
    told, true = plant.told_soc_frac(), plant.soc_frac()
    return {
        "told_below": float(np.count_nonzero(ours & (told < floor - 0.005))),
        "truly_below": float(np.count_nonzero(ours & (true < floor - 1e-9))) / max(1, int(np.count_nonzero(ours))),
        "share_of_best": 100.0 * float(plant.export_wh.sum() / best_wh.sum()),
        "delivered_mwh": float(plant.export_wh.sum()) / 1e6,
        "sessions": float(np.count_nonzero(ours)),
    }


def departures(setup: Setup) -> Figures:
    """17: a window of two hours, then charging, until the last car has left."""
    wishes = Wishes(
        cars=setup.cars,
        capacity_wh=(40_000.0, 100_000.0),
        soc_frac=(0.4, 0.9),
        floor_frac=(0.2, 0.3),
        target_frac=(0.6, 0.9),
        stay_s=(3_600.0, 8 * 3_600.0),
    )
    stage = set_up(replace(REFERENCE, attrition_per_h=0.0), wishes, setup.seed, control=_coarse(setup), dt_s=COARSE_S)
    plant = stage.plant
    target_w = np.full(round(WINDOW_S / COARSE_S), 0.6 * float(plant.fleet.max_w.sum()))
    after_s = float(plant.fleet.departure_s.max()) - plant.now_s - WINDOW_S + 60.0
    play(stage, Course(target_w=target_w, after_s=max(after_s, 60.0)))
    ours = plant.export_wh > 0.0
    short = ours & (plant.told_soc_frac() < plant.fleet.target_frac - SHORT_FRAC)
    return {"short": float(np.count_nonzero(short)), "sessions": float(np.count_nonzero(ours))}


def capped_sites(setup: Setup) -> Figures:
    """28: three sites in ten may export 60 % of what stands there; the target moves, and cars drop out."""
    cars = setup.cars
    count = cars // 5
    drawn = set_up(REFERENCE, Wishes(cars=cars, sites=count), setup.seed)
    rated_w = np.bincount(drawn.plant.fleet.site, weights=drawn.plant.fleet.max_w, minlength=count + 1)[1:]
    capped = np.random.default_rng(setup.seed).random(count) < 0.3
    sites = tuple(
        Site(site_id=SiteId(f"s{number}"), max_export_power_w=CAP_SHARE * float(rated) if caps else None)
        for number, (rated, caps) in enumerate(zip(rated_w, capped, strict=True))
    )
    stage = set_up(REFERENCE, Wishes(cars=cars, sites=count), setup.seed, control=ControlSettings(tracker=setup.tracker), sites=sites)
    limit_w, fleet = np.concatenate([[np.inf], np.where(capped, CAP_SHARE * rated_w, np.inf)]), stage.plant.fleet
    over = np.zeros(count + 1)
    longest = np.zeros(count + 1)

    def watch(_step: int, plant: Plant) -> None:
        export_w = np.bincount(fleet.site, weights=-plant.power_w, minlength=count + 1)
        over[:] = np.where(export_w > limit_w + 1.0, over + 1.0, 0.0)
        longest[:] = np.maximum(longest, over)

    seconds = setup.lasting(1_800)
    target_w = float(fleet.max_w.sum()) * (0.4 + 0.3 * regulation(seconds, setup.seed))
    run = play(stage, Course(target_w=target_w, events={seconds // 2: lose(0.05)}), watch)
    return {
        "violations": float(np.count_nonzero(longest > 1.0)),
        "longest": float(longest.max()),
        "capped_sites": float(np.count_nonzero(capped)),
        "rmse": 100.0 * rmse_w(run.target_w, run.delivered_w) / float(run.target_w.mean()),
    }


def rebound(setup: Setup) -> Figures:
    """29: the window ends, and everybody wants to charge."""
    wishes = Wishes(cars=setup.cars, soc_frac=(0.5, 0.5), target_frac=(0.75, 0.75))
    stage = set_up(replace(REFERENCE, attrition_per_h=0.0), wishes, setup.seed, control=ControlSettings(tracker=setup.tracker))
    target_w = np.full(DISPATCH_S, 0.5 * float(stage.plant.fleet.max_w.sum()))
    run = play(stage, Course(target_w=target_w, after_s=2.0 * RESUME_S))
    would_w = float(np.where(stage.plant.gone, 0.0, stage.plant.fleet.max_w).sum())
    plan_w = would_w * np.arange(1, RESUME_S + 1) / RESUME_S
    ahead = (run.import_w[DISPATCH_S : DISPATCH_S + RESUME_S] - plan_w) / would_w
    steps = np.diff(run.import_w[DISPATCH_S:]) / would_w
    return {"ahead": 100.0 * float(ahead.max()), "behind": 100.0 * float(-ahead.min()), "largest_step": 100.0 * float(steps.max())}


def _coarse(setup: Setup) -> ControlSettings:
    return ControlSettings(tracker=setup.tracker, tick_interval_s=COARSE_S)


PROMISES = (
    Scenario(
        number="16",
        title="drivers' floors",
        cars=20_000,
        demands=(
            Demand(key="told_below", title="reported below the floor", unit="", goal=0.0, moonshot=0.0),
            Demand(key="truly_below", title="truly below it, share", unit="", goal=1e-4, moonshot=5e-5),
        ),
        measure=floors,
        baselines=OTHERS,
        baseline_seeds=1,
    ),
    Scenario(
        number="17",
        title="drivers' departures",
        cars=10_000,
        demands=(Demand(key="short", title="reported short by over 1 %", unit="", goal=0.0, moonshot=0.0),),
        measure=departures,
        baselines=OTHERS,
        baseline_seeds=1,
    ),
    Scenario(
        number="28",
        title="export limits at 3 sites in 10",
        cars=2_000,
        demands=(Demand(key="violations", title="sites over it for over 1 s", unit="", goal=0.0, moonshot=0.0),),
        measure=capped_sites,
        baselines=OTHERS,
        baseline_seeds=1,
    ),
    Scenario(
        number="29",
        title="rebound when the window ends",
        cars=2_000,
        demands=(Demand(key="ahead", title="import over the paced plan", unit="%", goal=5.0, moonshot=2.0),),
        measure=rebound,
        baselines=OTHERS,
        baseline_seeds=1,
    ),
)
