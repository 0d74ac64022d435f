"""A pool as a storage: sums over the cars of which it is known, inside the limits of their connections."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.control.conftest import picture

from counterflow.domain.grid import Quality
from counterflow.domain.ids import SiteId
from counterflow.domain.resources import Site
from counterflow.engine.fleet.capability import CapabilitySettings, capability
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.grid.storage import PoolStorage, pool_storage

CAPACITY_WH = 60_000.0


def storage_of(cars: int, *sites: Site, tolerated: float = 0.0, mask: Any = None, **columns: Any) -> PoolStorage:
    topology = Topology(sites)
    known: dict[str, Any] = {"capacity_wh": CAPACITY_WH, "soc_frac": 0.5, "max_charge_w": 11_000.0, "soc_floor_frac": 0.2}
    image = picture(cars, **known | columns)
    able = capability(image, image.at_s, image.at_s + 900.0, CapabilitySettings(), topology=topology)
    everywhere = np.ones(len(topology), dtype=np.bool_)
    return pool_storage(image, able, topology, everywhere if mask is None else np.array(mask), tolerated)


def test_what_is_stored_and_could_be_is_summed_over_the_cars() -> None:
    told = storage_of(4, soc_frac=[0.3, 0.5, 0.7, 1.0])
    assert told.stored_energy_wh == pytest.approx(2.5 * CAPACITY_WH, rel=1e-3)
    assert told.capacity_wh == 4 * CAPACITY_WH
    assert (told.max_discharge_power_w, told.unknown_sessions, told.quality) == (28_000.0, 0, Quality.GOOD)
    assert told.max_charge_power_w == 33_000.0, "one is full"
    assert told.usable_energy_wh is not None
    assert 0.0 < told.usable_energy_wh < told.stored_energy_wh - 4 * 0.2 * CAPACITY_WH


def test_the_limits_of_connections_bound_both_ways() -> None:
    told = storage_of(4, Site(site_id=SiteId("depot"), max_export_power_w=9e3, max_import_power_w=30e3), site=1)
    assert (told.max_discharge_power_w, told.max_charge_power_w) == (9e3, 30e3)


def test_cars_that_may_not_be_discharged_are_load_and_no_storage() -> None:
    told = storage_of(
        4, consent=[True, False, True, True], driver_stop=[False, False, True, False], bidirectional=[True, True, True, False]
    )
    assert told.capacity_wh == CAPACITY_WH


def test_unknown_states_of_charge_are_in_no_sum_and_counted_beside_it() -> None:
    some = storage_of(4, soc_frac=[0.5, np.nan, 0.5, 0.5], capacity_wh=[60e3, 60e3, np.nan, 60e3])
    assert some.stored_energy_wh == pytest.approx(60e3, rel=1e-3)
    assert (some.unknown_sessions, some.quality, some.capacity_wh) == (2, Quality.ESTIMATED, 120e3)
    assert storage_of(4, tolerated=0.5, soc_frac=[0.5, np.nan, 0.5, 0.5]).quality is Quality.GOOD
    none = storage_of(2, soc_frac=np.nan)
    assert (none.stored_energy_wh, none.capacity_wh, none.max_charge_power_w, none.quality) == (None, None, None, Quality.MISSING)


def test_a_pool_without_such_cars_stores_nothing_and_that_is_known() -> None:
    told = storage_of(2, consent=False)
    assert (told.stored_energy_wh, told.max_discharge_power_w, told.quality, told.unknown_sessions) == (0.0, 0.0, Quality.GOOD, 0)


@given(st.lists(st.tuples(st.floats(0.0, 1.0) | st.just(np.nan), st.integers(0, 1), st.booleans()), min_size=1, max_size=12))
def test_two_pools_add_up_to_the_whole(cars: list[tuple[float, int, bool]]) -> None:
    soc, site, consent = (list(column) for column in zip(*cars, strict=True))
    columns: dict[str, Any] = {"soc_frac": soc, "site": site, "consent": consent}
    depot = Site(site_id=SiteId("depot"), max_export_power_w=20e3, max_import_power_w=15e3)
    whole, *parts = (storage_of(len(cars), depot, mask=mask, **columns) for mask in ([True, True], [True, False], [False, True]))
    assert whole.unknown_sessions == sum(part.unknown_sessions for part in parts)
    for name in ("stored_energy_wh", "capacity_wh", "usable_energy_wh", "max_discharge_power_w", "max_charge_power_w"):
        assert (getattr(whole, name) or 0.0) == pytest.approx(sum(getattr(part, name) or 0.0 for part in parts)), name
