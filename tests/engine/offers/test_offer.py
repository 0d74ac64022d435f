"""From an image to an offer: which cars count, what of them is sure, and how that comes about."""

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from counterflow.domain.ids import StationId, TransactionId
from counterflow.domain.offers import LEVELS
from counterflow.domain.resources import ControlMode, Feeder, Site
from counterflow.domain.telemetry import TransactionPhase
from counterflow.engine.fleet.capability import capability
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import FleetImage, empty_columns, freeze
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.offers.hazard import HOURS, KINDS
from counterflow.engine.offers.offer import Promise, Stock, promise, stock_of, there_w
from counterflow.engine.offers.scenarios import Cars, Risks, Span
from counterflow.engine.offers.settings import OfferSettings
from counterflow.engine.offers.shock import Shocks

NOW_S = 1_800_000_000.0
CAPABILITY = CapabilitySettings()
SETTINGS = OfferSettings(scenarios=1_000)
RISKS = Risks(rates_per_h=np.full((HOURS, KINDS), 0.05), doubt=np.zeros(HOURS), shocks=Shocks.even(0.3))


def picture(cars: int, **columns: Any) -> FleetImage:
    """Cars of 7 kW with 80 kWh, four fifths full, plugged in for an hour, which leave in eight hours."""
    c = empty_columns(cars)
    values: dict[str, Any] = {
        "uid": np.arange(1, cars + 1), "station": np.arange(cars), "evse_id": 1, "connected": True, "consent": True, "bidirectional": True,
        "phase": TransactionPhase.CHARGING, "control_mode": ControlMode.SETPOINT, "started_s": NOW_S - 3600.0,
        "departure_s": NOW_S + 8 * 3600.0, "meter_interval_s": 10.0, "power_w": 0.0, "export_wh": 0.0, "import_wh": 0.0,
        "soc_export_wh": 0.0, "soc_import_wh": 0.0, "soc_frac": 0.8, "capacity_wh": 80_000.0, "soc_floor_frac": 0.3,
        "soc_target_frac": 0.6, "max_discharge_w": 7_000.0, "max_charge_w": 7_000.0,
    }  # fmt: skip
    for name in ("last_sample_s", "power_at_s", "soc_at_s", "register_at_s"):
        values[name] = NOW_S - 1.0
    for name, value in (values | columns).items():
        c[name][:] = value
    return freeze(c, tuple((StationId(f"CS{row}"), TransactionId("T")) for row in range(cars)), NOW_S)


def stock(
    image: FleetImage, *, window_s: float = 3_600.0, lead_s: float = 0.0, sites: tuple[Any, ...] = (), free: Any = True, gain: float = 1.0
) -> Stock:
    able = capability(image, NOW_S, NOW_S + window_s, CAPABILITY)
    count = len(image)
    all_rows = np.ones(count, dtype=np.bool_)
    topology = Topology(tuple(one for one in sites if isinstance(one, Site)), tuple(one for one in sites if isinstance(one, Feeder)))
    span = Span(at_s=NOW_S, lead_s=lead_s, window_s=window_s)
    return stock_of(image, able, np.full(count, gain), all_rows, all_rows & free, topology, span, CAPABILITY)


def promised(of: Stock, window_s: float = 3_600.0, confidence: float = 0.9, settings: OfferSettings = SETTINGS) -> Promise:
    span = Span(at_s=NOW_S, lead_s=0.0, window_s=window_s)
    return promise(of, span, RISKS, confidence, settings, np.random.default_rng(1), departures_learned=12.0)


def test_levels_fall_with_confidence_and_the_steps_lead_from_nameplate_to_promise() -> None:
    said = promised(stock(picture(60), gain=0.95))
    powers = [level.power_w for level in said.levels]
    assert [level.confidence for level in said.levels] == list(LEVELS)
    assert powers == sorted(powers, reverse=True)
    assert said.power_w == powers[1]
    grounds = said.grounds
    assert grounds.rated_power_w == pytest.approx(60 * 7_000.0)
    assert grounds.responding_power_w == pytest.approx(0.95 * 60 * 7_000.0)
    assert grounds.responding_power_w >= grounds.lasting_power_w > grounds.median_power_w > said.power_w
    assert grounds.independent_power_w > said.power_w
    assert grounds.leaving_expected == pytest.approx(60 * -np.expm1(-0.05), rel=1e-6)
    assert grounds.departures_learned == 12.0
    for level in said.levels:
        assert level.energy_wh == pytest.approx(level.power_w)
        assert level.deliverable_energy_wh >= level.energy_wh - 1e-6


def test_cvar_is_more_careful_than_the_quantile() -> None:
    of = stock(picture(60))
    assert promised(of, settings=replace(SETTINGS, method="cvar")).power_w < promised(of).power_w


def test_no_more_is_offered_than_a_site_or_feeder_may_export() -> None:
    image = picture(20, site=[1] * 10 + [2] * 10)
    sites = (
        Site(site_id="a", max_export_power_w=21_000.0, feeder="f"),
        Site(site_id="b", feeder="f"),
        Feeder(feeder_id="f", max_export_power_w=63_000.0),
    )
    of = stock(image, sites=sites)
    assert of.rated_power_w == pytest.approx(140_000.0)
    assert of.limited_power_w == pytest.approx(63_000.0)
    assert of.cars.power_w.sum() == pytest.approx(63_000.0)
    assert "limit 21.0 kW of site a binds" in of.limits
    assert promised(of).levels[0].power_w <= 63_000.0


def test_a_limit_counts_before_the_response() -> None:
    of = stock(picture(4, site=1), sites=(Site(site_id="a", max_export_power_w=14_000.0),), gain=0.9)
    assert of.cars.power_w.sum() == pytest.approx(0.9 * 14_000.0)


def test_cars_that_are_held_elsewhere_or_may_not_be_discharged_are_left_out() -> None:
    image = picture(10, consent=[False, *[True] * 9])
    of = stock(image, free=np.arange(10) != 5)
    assert (of.sessions, of.sessions_ready, len(of.cars)) == (10, 8, 8)
    assert not of.rows[[0, 5]].any()


def test_energy_above_the_floor_is_spread_over_the_window() -> None:
    image = picture(3, soc_frac=[0.8, 0.42, 0.36], soc_target_frac=0.3)
    of = stock(image, window_s=3_600.0)
    able = capability(image, NOW_S, NOW_S + 3_600.0, CAPABILITY)
    assert of.cars.energy_wh[0] > 7_000.0, "more than the window takes: errors of its energy come out of the rest"
    assert of.cars.energy_wh[1] == pytest.approx(able.sustained_power_w[1])
    assert promised(of).grounds.lasting_power_w < of.rated_power_w


def test_a_car_that_must_charge_before_the_end_is_counted_until_then() -> None:
    image = picture(1, departure_s=NOW_S + 7_200.0, soc_frac=0.65)
    of = stock(image, window_s=7_000.0)
    able = capability(image, NOW_S, NOW_S + 7_000.0, CAPABILITY)
    assert able.sustained_power_w[0] == 0.0
    assert len(of.cars) == 1
    assert of.cars.until_s[0] == pytest.approx(able.useful_until_s[0] - NOW_S)
    assert 0.0 < of.cars.energy_wh[0] <= able.energy_wh[0]
    assert promised(of, window_s=7_000.0).levels[0].power_w == 0.0, "nobody is there at the end"
    assert promised(of, window_s=7_000.0).levels[0].deliverable_energy_wh > 0.0


def test_a_blackout_ends_what_a_car_gives() -> None:
    image = picture(1, blackout_from_s=NOW_S + 1_810.0, blackout_until_s=NOW_S + 9_000.0)
    assert stock(image).cars.until_s[0] == pytest.approx(1_800.0)


def test_what_others_will_cap_within_the_window_is_not_counted() -> None:
    image = picture(2, external_ahead_w=[3_000.0, np.nan], external_ahead_s=[NOW_S + 600.0, np.nan])
    assert stock(image).cars.power_w.tolist() == [3_000.0, 7_000.0]


def test_a_window_to_come_counts_only_cars_that_can_still_make_their_departure_after_it() -> None:
    image = picture(2, departure_s=[NOW_S + 8 * 3600.0, NOW_S + 4 * 3600.0], started_s=[NOW_S - 60.0, NOW_S - 7_200.0])
    of = stock(image, window_s=3_600.0, lead_s=3 * 3600.0)
    assert of.rows.tolist() == [True, False]
    assert of.cars.plugged_s.tolist() == [60.0]


def test_power_of_cars_that_must_charge_is_taken_off() -> None:
    departure_s = np.array([NOW_S + 900.0, *[NOW_S + 20 * 3600.0] * 11])
    image = picture(12, departure_s=departure_s, soc_frac=[0.5, *[0.8] * 11], power_w=[6_000.0, *[0.0] * 11])
    of = stock(image)
    assert of.against_power_w == pytest.approx(6_000.0)
    assert promised(of).grounds.against_power_w == 6_000.0
    plain = stock(image, free=np.arange(12) > 0)
    assert promised(replace(plain, against_power_w=0.0)).power_w - promised(plain).power_w == pytest.approx(6_000.0)


def test_a_pool_without_cars_promises_nothing() -> None:
    said = promised(stock(picture(2, consent=False)))
    assert said.power_w == 0.0
    assert said.grounds.lasting_power_w == 0.0
    assert all(level.deliverable_energy_wh == 0.0 for level in said.levels)


def test_what_was_there_is_what_the_cars_that_stayed_could_have_held() -> None:
    cars = stock(picture(4)).cars
    stayed = np.array([np.inf, np.inf, np.inf, 1_000.0])
    drew, nothing = np.zeros(4), np.zeros(4)
    assert there_w(of(cars, nothing), stayed, drew, 3_600.0) == pytest.approx(21_000.0)
    assert there_w(of(cars, nothing, against_w=1_000.0), stayed, drew, 3_600.0) == pytest.approx(20_000.0)
    assert there_w(of(cars, nothing, against_w=1_000.0), np.zeros(4), drew, 3_600.0) == 0.0


def of(cars: Cars, spared_w: np.ndarray, *, against_w: float = 0.0) -> Stock:
    """A stock of these cars."""
    return Stock(
        rows=np.ones(len(cars), dtype=np.bool_), cars=cars, sessions=0, sessions_ready=0, rated_power_w=0.0, limited_power_w=0.0,
        given_up_power_w=0.0, against_power_w=against_w, limits=(), spared_w=spared_w, reduces=spared_w == cars.power_w,
    )  # fmt: skip


def test_charging_that_is_given_up_was_there_for_as_long_as_the_car_drew_it() -> None:
    cars = Cars(
        power_w=np.array([14_000.0, 7_000.0]),
        energy_wh=np.array([14_000.0, 3_500.0]),
        until_s=np.array([np.inf, np.inf]),
        plugged_s=np.zeros(2),
    )
    both = of(cars, np.array([7_000.0, 7_000.0]))
    always = np.full(2, np.inf)
    # The first discharges 7 kW and gives up 7 kW for an hour, the second may be paused for half of it.
    assert there_w(both, always, always, 3_600.0) == pytest.approx(17_500.0)
    # The first is full after half an hour: what it discharges is still there.
    assert there_w(both, always, np.array([1_800.0, np.inf]), 3_600.0) == pytest.approx(7_000.0 + 7_000.0)
    assert there_w(both, np.array([1_800.0, np.inf]), np.array([1_800.0, np.inf]), 3_600.0) == pytest.approx(7_000.0)
    assert there_w(both, always, np.zeros(2), 3_600.0) == pytest.approx(7_000.0)
