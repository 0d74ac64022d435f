"""What counts as delivery, and the worst case while orders are under way."""

from typing import Any

import numpy as np
import pytest

from counterflow.domain.ids import FeederId, SiteId
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.resources import Feeder, Site
from counterflow.domain.setpoints import SetpointState
from counterflow.engine.control.balance import as_delivery_w, group_export_w, worst_export_w
from counterflow.engine.fleet.topology import Topology

NOW_S = 1_800_000_000.0


def test_the_three_modes_count_differently() -> None:
    export_w, baseline_w = np.array([5_000.0, -3_000.0]), np.array([7_000.0, 7_000.0])
    assert as_delivery_w(DispatchMode.NET_EXPORT, export_w, baseline_w).tolist() == [5_000.0, -3_000.0]
    assert as_delivery_w(DispatchMode.GROSS_EXPORT, export_w, baseline_w).tolist() == [5_000.0, 0.0]
    assert as_delivery_w(DispatchMode.RELATIVE, export_w, baseline_w).tolist() == [12_000.0, 4_000.0]


@pytest.mark.parametrize(
    ("columns", "worst_w"),
    [
        ({"setpoint_state": SetpointState.PENDING}, 7_000.0),
        ({"setpoint_state": SetpointState.UNKNOWN}, 7_000.0),
        ({"setpoint_state": SetpointState.ACCEPTED}, 6_650.0),
        ({"setpoint_state": SetpointState.ACCEPTED, "power_at_s": NOW_S - 1.0, "power_w": -3_000.0}, 3_000.0),
        ({"setpoint_state": SetpointState.ACCEPTED, "power_at_s": NOW_S - 1.0, "power_w": -1_900.0}, 2_000.0),
        ({"setpoint_state": SetpointState.ACCEPTED, "power_w": np.nan}, 7_000.0),
        ({"setpoint_state": SetpointState.ACCEPTED, "setpoint_w": np.nan, "power_w": -6_650.0}, 6_650.0),
        ({"setpoint_state": SetpointState.ACCEPTED, "uid": 0}, 0.0),
    ],
)
def test_i3_the_worst_of_old_and_new_until_acknowledged_and_seen(image: Any, columns: dict[str, Any], worst_w: float) -> None:
    lowered: dict[str, Any] = {
        "setpoint_w": -2_000.0,
        "setpoint_at_s": NOW_S - 4.0,
        "previous_setpoint_w": -7_000.0 if columns["setpoint_state"] != SetpointState.ACCEPTED else -2_000.0,
        "discharge_until_s": NOW_S + 900.0,
        "hold_until_s": NOW_S + 950.0,
        "power_w": -6_650.0,
        "power_at_s": NOW_S - 8.0,
    }
    if np.isnan(columns.get("power_w", 0.0)):
        lowered["previous_setpoint_w"] = -7_000.0
    picture = image(1, **lowered | columns)
    assert worst_export_w(picture, np.zeros(1))[0] == pytest.approx(worst_w)


def test_export_is_summed_by_site_and_feeder(image: Any) -> None:
    picture = image(3, power_w=[-1_000.0, -2_000.0, -4_000.0], site=[0, 1, 1])
    topology = Topology([Site(site_id=SiteId("b"), feeder=FeederId("f"))], [Feeder(feeder_id=FeederId("f"))])
    assert topology.group_names == ("feeder f", "site default", "site b")
    assert group_export_w(picture, np.array([True, True, False]), topology).tolist() == [2_000.0, 1_000.0, 2_000.0]
