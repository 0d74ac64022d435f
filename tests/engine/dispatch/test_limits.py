"""The tree of limits."""

import numpy as np
import pytest

from counterflow.engine.dispatch.limits import Limits, cap_in_order, cap_proportionally, total_capacity_w


def feeder_with_two_sites(feeder_w: float, one_w: float, other_w: float) -> Limits:
    return Limits(group=np.array([1, 1, 2, 2]), cap_w=np.array([feeder_w, one_w, other_w]), parent=np.array([-1, 0, 0], dtype=np.intp))


def test_a_feeder_above_its_sites_cuts_what_the_sites_let_through() -> None:
    limits = feeder_with_two_sites(10.0, 4.0, 8.0)
    caps_w = np.full(4, 5.0)
    np.testing.assert_allclose(cap_proportionally(caps_w, np.ones(4), limits), [2.0, 2.0, 3.0, 3.0])
    np.testing.assert_allclose(cap_in_order(caps_w, np.array([0.4, 0.1, 0.2, 0.3]), limits), [0.0, 4.0, 5.0, 1.0])
    assert total_capacity_w(caps_w, limits) == 10.0


def test_unlimited_groups_change_nothing() -> None:
    limits = Limits.flat(np.array([0, 1]), np.full(2, np.inf))
    caps_w = np.array([3.0, 4.0])
    assert limits.unlimited
    assert cap_in_order(caps_w, np.zeros(2), limits) is caps_w
    assert cap_proportionally(caps_w, np.ones(2), limits) is caps_w
    assert total_capacity_w(caps_w, limits) == 7.0


def test_a_limit_of_zero_shuts_its_site() -> None:
    limits = Limits.flat(np.array([0, 0, 1]), np.array([0.0, 9.0]))
    np.testing.assert_allclose(cap_proportionally(np.full(3, 5.0), np.ones(3), limits), [0.0, 0.0, 5.0])
    np.testing.assert_allclose(cap_in_order(np.full(3, 5.0), np.arange(3) / 3.0, limits), [0.0, 0.0, 5.0])


@pytest.mark.parametrize(
    ("group", "cap_w", "parent"),
    [
        ([0], [-1.0], [-1]),
        ([0], [np.nan], [-1]),
        ([1], [1.0], [-1]),
        ([0], [1.0, 1.0], [1, -1]),
        ([0], [1.0], [-2]),
        ([0], [1.0], [-1, 0]),
    ],
)
def test_a_tree_that_cannot_be_is_refused(group: list[int], cap_w: list[float], parent: list[int]) -> None:
    with pytest.raises(ValueError):
        Limits(group=np.array(group), cap_w=np.array(cap_w), parent=np.array(parent))


def test_no_rows_and_no_groups_are_fine() -> None:
    limits = Limits.flat(np.zeros(0, dtype=np.intp), np.zeros(0))
    assert cap_in_order(np.zeros(0), np.zeros(0), limits).size == 0
    assert limits.levels() == []
