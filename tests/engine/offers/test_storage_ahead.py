"""A pool as a storage to come: exact where nothing is left to chance, the less the surer it is to be, and as cars turn out."""

from typing import Any

import numpy as np
import pytest

from counterflow.domain.grid import CapacityBound
from counterflow.domain.ids import PoolId, SiteId, StationId, TransactionId
from counterflow.domain.offers import LEVELS, OfferLevel
from counterflow.domain.resources import Site
from counterflow.domain.telemetry import TransactionPhase
from counterflow.engine.fleet.capability import capability
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import FleetImage, empty_columns, freeze
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.fleet.undisturbed import ChargingTerms
from counterflow.engine.offers.hazard import HOURS, KINDS
from counterflow.engine.offers.scenarios import Risks, Span
from counterflow.engine.offers.settings import OfferSettings
from counterflow.engine.offers.shock import Shocks
from counterflow.engine.offers.storage_ahead import Stores, stores_of, with_stores

NOW_S = 1_795_000_000.0
HOUR_S = 3_600.0
SURE = OfferSettings(scenarios=1_000, common_energy_spread=0.0)
SPAN = Span(at_s=NOW_S, lead_s=0.0, window_s=HOUR_S)


def risks(rate: float, shared: float = 0.0) -> Risks:
    return Risks(rates_per_h=np.full((HOURS, KINDS), rate), doubt=np.zeros(HOURS), shocks=Shocks.even(shared))


def picture(cars: int, **columns: Any) -> FleetImage:
    """Cars that charge with 7 kW at half of 80 kWh, and leave in eight hours."""
    c = empty_columns(cars)
    values: dict[str, Any] = {
        "uid": np.arange(1, cars + 1), "station": np.arange(cars), "evse_id": 1, "connected": True, "consent": True, "bidirectional": True,
        "phase": TransactionPhase.CHARGING, "started_s": NOW_S - HOUR_S, "departure_s": NOW_S + 8 * HOUR_S, "meter_interval_s": 10.0,
        "power_w": 7_000.0, "export_wh": 0.0, "import_wh": 0.0, "soc_export_wh": 0.0, "soc_import_wh": 0.0, "soc_frac": 0.5,
        "capacity_wh": 80_000.0, "soc_floor_frac": 0.3, "soc_target_frac": 0.9, "max_discharge_w": 7_000.0, "max_charge_w": 7_000.0,
    }  # fmt: skip
    for name in ("last_sample_s", "power_at_s", "soc_at_s", "register_at_s"):
        values[name] = NOW_S - 1.0
    for name, value in (values | columns).items():
        c[name][:] = value
    return freeze(c, tuple((StationId(f"CS{row}"), TransactionId("T")) for row in range(cars)), NOW_S)


def stores(image: FleetImage, span: Span = SPAN, topology: Topology | None = None, tolerated: float = 0.2) -> Stores | None:
    able, every = capability(image, NOW_S, NOW_S + span.window_s, CapabilitySettings()), np.ones(len(image), dtype=np.bool_)
    return stores_of(image, able, every, topology or Topology(()), span, ChargingTerms(charge_efficiency=0.9), tolerated)


def told(of: Stores | None, rate: float, shared: float = 0.0, settings: OfferSettings = SURE) -> list[tuple[float | None, float | None]]:
    bare = tuple(OfferLevel(confidence=level, power_w=1.0, energy_wh=1.0, deliverable_energy_wh=1.0) for level in LEVELS)
    levels = with_stores(bare, of, SPAN, risks(rate, shared), settings, np.random.default_rng(1))
    return [(one.charge_level_frac, one.max_charge_power_w) for one in levels]


def test_where_nobody_leaves_it_is_what_charging_brings() -> None:
    level = 0.5 + 0.9 * 7_000.0 / 80_000.0
    assert told(stores(picture(10)), 0.0) == [(pytest.approx(level, abs=1e-4), pytest.approx(70_000.0))] * len(LEVELS)


def test_who_says_that_he_leaves_is_gone_and_who_is_full_takes_nothing() -> None:
    of = stores(picture(3, departure_s=[NOW_S + 1_800.0, NOW_S + 8 * HOUR_S, NOW_S + 8 * HOUR_S], soc_frac=[0.1, 0.5, 1.0], power_w=0.0))
    assert told(of, 0.0)[0] == (pytest.approx(0.75, abs=1e-4), pytest.approx(7_000.0))


@pytest.mark.parametrize(("from_s", "to_s", "taken_w"), [(0.0, HOUR_S / 2, 70_000.0), (HOUR_S / 2, 2 * HOUR_S, 30_000.0)])
def test_it_takes_what_the_limits_that_hold_then_let_it_take(from_s: float, to_s: float, taken_w: float) -> None:
    grid = Topology((Site(site_id=SiteId("s"), pools=(PoolId("north"),)),))
    bound = CapacityBound(program="p", key="k", pool=PoolId("north"), from_s=NOW_S + from_s, to_s=NOW_S + to_s, max_import_w=30_000.0)
    grid.capacities.set([bound], np.zeros(len(grid)), np.zeros(len(grid)))
    site = grid.site_index(SiteId("s"))
    of = stores(picture(10, site=site), topology=grid)
    assert told(of, 0.0)[0][1] == pytest.approx(taken_w)


def test_where_too_little_is_known_or_no_car_is_there_nothing_is_told() -> None:
    assert stores(picture(2, soc_frac=[0.5, np.nan])) is None
    assert stores(picture(2, soc_frac=np.nan), tolerated=1.0) is None
    assert stores(picture(10, soc_frac=[np.nan] * 2 + [0.5] * 8)) is not None
    assert stores(picture(10, soc_frac=[np.nan] * 2 + [0.5] * 8), tolerated=0.19) is None
    assert stores(picture(2, consent=False)) is None
    assert told(None, 0.0) == [(None, None)] * len(LEVELS)


def test_a_car_that_nothing_is_known_of_counts_as_anything_between_empty_and_full() -> None:
    soc = [np.nan, *([0.6] * 9)]
    of = stores(picture(10, soc_frac=soc, power_w=0.0))
    assert of is not None
    assert of.unknown == 1
    (half, half_w), (sure, sure_w), *_ = told(of, 0.0)
    # In the middle of all cases it is half full; the surer it is to be, the less is counted of it. It takes all or nothing.
    assert half == pytest.approx(0.9 * 0.6 + 0.1 * 0.5, abs=0.005)
    assert sure == pytest.approx(0.9 * 0.6 + 0.1 * 0.1, abs=0.003)
    assert half_w == sure_w == pytest.approx(63_000.0)
    two = stores(picture(10, soc_frac=[np.nan, np.nan, *([0.6] * 8)], power_w=0.0))
    assert [power_w for _, power_w in told(two, 0.0)] == pytest.approx([63_000.0, 56_000.0, 56_000.0, 56_000.0])
    # Who is not sure how much it can hold at least knows that it takes.
    of = stores(picture(10, soc_frac=0.6, power_w=0.0, capacity_wh=[np.nan, *([80_000.0] * 9)]))
    assert told(of, 0.0)[3][1] == pytest.approx(70_000.0)
    assert told(of, 0.0)[1][0] == pytest.approx(sure, abs=1e-6)
    bare = tuple(OfferLevel(confidence=level, power_w=1.0, energy_wh=1.0, deliverable_energy_wh=1.0) for level in LEVELS)
    shown = with_stores(bare, of, SPAN, risks(0.0), SURE, np.random.default_rng(1))
    assert [one.storage_unknown_sessions for one in shown] == [1] * len(LEVELS)


def test_nine_of_ten_pools_with_a_car_that_nothing_is_known_of_reach_what_is_told_with_90_percent() -> None:
    rate, random = 0.2, np.random.default_rng(11)
    of = stores(picture(20, soc_frac=[np.nan, np.nan, *np.linspace(0.2, 0.8, 18)], max_charge_w=np.linspace(4_000.0, 11_000.0, 20)))
    assert of is not None
    level, power_w = told(of, rate)[1]
    stays = random.random((4_000, 20)) < np.exp(-rate)
    truly = np.where(of.doubtful_wh > 0.0, random.random((4_000, 20)) * of.doubtful_wh, of.stored_wh)
    takes = np.where(of.doubtful_w > 0.0, (random.random((4_000, 20)) < 0.5) * of.doubtful_w, of.takes_w)
    assert np.mean((stays * truly).sum(1) / np.maximum(stays @ of.capacity_wh, 1.0) >= level) >= 0.9
    assert np.mean((stays * takes).sum(1) >= power_w) >= 0.9


def test_the_surer_the_less_and_less_still_where_departures_are_shared() -> None:
    of = stores(picture(200, soc_frac=np.linspace(0.1, 0.9, 200)))
    alone, together = told(of, 0.2), told(of, 0.2, shared=0.6)
    for column in (0, 1):
        assert [one[column] for one in alone] == sorted((one[column] for one in alone), reverse=True)
        assert alone[1][column] <= alone[0][column]  # type: ignore[operator]
    assert together[1][1] < alone[1][1]  # type: ignore[operator]


def test_nine_of_ten_courses_of_cars_that_leave_by_themselves_reach_what_is_told_with_90_percent() -> None:
    rate, random = 0.3, np.random.default_rng(7)
    of = stores(picture(60, soc_frac=np.linspace(0.2, 0.8, 60), max_charge_w=np.linspace(4_000.0, 11_000.0, 60)))
    assert of is not None
    level, power_w = told(of, rate)[1]
    stays = random.random((4_000, 60)) < np.exp(-rate)
    levels = (stays @ of.stored_wh) / np.maximum(stays @ of.capacity_wh, 1.0)
    assert np.mean(levels >= level) == pytest.approx(0.9, abs=0.04)
    assert np.mean(stays @ of.takes_w >= power_w) == pytest.approx(0.9, abs=0.04)
