"""What is told when an order comes is what the allocation can then do, site limits included."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterflow.domain.instructions import AllocationPolicy, DispatchMode, Feasibility
from counterflow.domain.resources import Site
from counterflow.engine.control.feasibility import FeasibilitySettings, feasible
from counterflow.engine.dispatch.allocate import allocate
from counterflow.engine.dispatch.limits import Limits
from counterflow.engine.dispatch.problem import AllocationProblem
from counterflow.engine.fleet.capability import capability
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.topology import Topology

NOW_S = 1_800_000_000.0
WINDOW_S = 900.0


def told(picture: Any, gain: Any, topology: Topology, mode: DispatchMode = DispatchMode.NET_EXPORT) -> Feasibility:
    able = capability(picture, NOW_S, NOW_S + WINDOW_S, CapabilitySettings())
    in_pool = np.ones(len(picture), dtype=np.bool_)
    room = FeasibilitySettings()
    return feasible(picture, able, gain, in_pool, topology, ordered_power_w=1e9, window_s=WINDOW_S, mode=mode, settings=room)


def test_a_site_limit_caps_what_is_asked_and_less_is_delivered(image: Any) -> None:
    topology = Topology((Site(site_id="s", max_export_power_w=14_000.0),))
    answer = told(image(4, site=1, power_w=0.0), np.full(4, 0.9), topology)
    assert answer.expected_power_w == pytest.approx(0.9 * 14_000.0)
    assert answer.committed_power_w == pytest.approx(0.9 * 0.9 * 14_000.0)


def test_charging_that_is_given_up_is_no_export(image: Any) -> None:
    topology = Topology((Site(site_id="s", max_export_power_w=7_000.0),))
    answer = told(image(2, site=1, power_w=6_000.0), np.full(2, 0.9), topology, DispatchMode.RELATIVE)
    assert answer.expected_power_w == pytest.approx(0.9 * 7_000.0 + 2 * 6_000.0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limits_kw=st.lists(st.floats(0.0, 60.0), min_size=2, max_size=2),
    gain=st.floats(0.3, 1.1),
    sites=st.lists(st.integers(1, 2), min_size=1, max_size=12),
)
def test_what_is_expected_is_what_the_allocation_lets_through(limits_kw: list[float], gain: float, sites: list[int], image: Any) -> None:
    topology = Topology(tuple(Site(site_id=f"s{row}", max_export_power_w=1_000.0 * limit) for row, limit in enumerate(limits_kw)))
    cars = len(sites)
    picture = image(cars, site=sites, power_w=0.0)
    able = capability(picture, NOW_S, NOW_S + WINDOW_S, CapabilitySettings())
    problem = AllocationProblem(
        target_w=1e9,
        caps_w=able.sustained_power_w,
        min_w=np.zeros(cars),
        weights=np.ones(cars),
        gain=np.full(cars, gain),
        energy_wh=able.energy_wh,
        useful_until_s=able.useful_until_s,
        running=np.zeros(cars, dtype=np.bool_),
        limits=Limits.flat(picture.site, topology.max_export_w),
        now_s=NOW_S,
        window_end_s=NOW_S + WINDOW_S,
    )
    for policy in AllocationPolicy:
        served_w = allocate(problem, policy).served_w
        assert told(picture, problem.gain, topology).expected_power_w == pytest.approx(served_w, abs=0.1)
