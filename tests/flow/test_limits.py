"""Limits of the grid as people see them, and readings of other load that reach the next decision."""

from typing import Any

import pytest

from counterflow.domain.instructions import DispatchMode
from counterflow.domain.views import LimitView, Refusal

TREE: dict[str, Any] = {
    "feeders": [{"feeder_id": "line", "max_export_power_w": 40_000.0, "max_import_power_w": 400_000.0}],
    "sites": [{"site_id": "default", "feeder": "line", "max_export_power_per_phase_w": 30_000.0, "phases": "three_phase"}],
}


def test_a_limit_binds_only_an_order_that_it_cuts(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 4, plant=ideal, settings=TREE)
    told = at.order(240.0, power_w=5_000.0, mode=DispatchMode.GROSS_EXPORT).feasibility
    assert told is not None
    assert told.shortfall_power_w == 0.0
    assert "limit 40.0 kW of feeder line is below what its cars could give, but not in the way of this order" in told.limits


def test_every_group_shows_its_limits_and_what_flows_there(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 4, plant=ideal, settings=TREE)
    order = at.order(240.0, power_w=60_000.0, mode=DispatchMode.GROSS_EXPORT)
    assert order.feasibility is not None
    assert "limit 40.0 kW of feeder line binds" in order.feasibility.limits
    at.run(60)
    views = {view.group: view for view in at.operations.limits()}
    assert set(views) == {"feeder line", "site default", *(f"phase L{phase} of site default" for phase in (1, 2, 3))}
    assert views["site default"].above == "feeder line"
    assert views["site default"].max_export_power_w is None
    assert 30_000.0 < views["feeder line"].export_power_w <= 40_000.0, "all that is committed, inside the limit"
    assert views["phase L2 of site default"].export_power_w == pytest.approx(views["site default"].export_power_w / 3.0)


def test_a_reading_of_other_load_makes_room_while_it_is_fresh(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 4, plant=ideal, settings=TREE)
    before_w = at.offer_w(240.0)
    read = at.operations.note_load("site default", 20_000.0)
    assert isinstance(read, LimitView)
    assert (read.load_least_w, read.load_most_w) == (18_000.0, 22_000.0)
    with_load_w = at.offer_w(240.0)
    # What others draw at the feeder is given inside it; cars that must charge count against a net export.
    assert with_load_w - before_w == pytest.approx(0.95 * 18_000.0, rel=0.01)
    order = at.order(240.0, power_w=60_000.0)
    assert order.feasibility is not None
    assert order.feasibility.expected_power_w == pytest.approx(with_load_w)
    at.run(301)
    assert at.operations.limits()[0].load_read_at_s is None
    assert at.offer_w(240.0) < before_w + 1_000.0


def test_a_group_that_is_not_there_is_refused_in_words(town: Any) -> None:
    at = town(1)
    refused = at.operations.note_load("site nowhere", 5.0)
    assert isinstance(refused, Refusal)
    assert "site nowhere" in refused.sentence
