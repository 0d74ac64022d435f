"""What stands by: as the order says, as the settings say, or sized by the loss that must be borne."""

from typing import Any

import numpy as np
import pytest

from counterflow.domain.instructions import DispatchMode, Headroom
from counterflow.engine.control.feasibility import FeasibilitySettings, committable_share, feasible
from counterflow.engine.fleet.capability import capability
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.topology import Topology

NOW_S = 1_800_000_000.0
HOUR_S = 3600.0


def test_the_order_wins_over_the_settings() -> None:
    settings = FeasibilitySettings(headroom_factor=0.9)
    assert committable_share(1_000.0, HOUR_S, None, settings) == 0.9
    assert committable_share(1_000.0, HOUR_S, Headroom(share_frac=0.25), settings) == 0.75
    assert committable_share(1_000.0, HOUR_S, Headroom(power_w=200.0), settings) == pytest.approx(0.8)
    assert committable_share(1_000.0, HOUR_S, Headroom(power_w=2_000.0), settings) == 0.0
    assert committable_share(0.0, HOUR_S, Headroom(power_w=2_000.0), settings) == 0.0


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.15, 0.3])
@pytest.mark.parametrize("hours", [0.25, 1.0, 3.0])
def test_sized_by_the_loss_what_is_left_bears_what_was_committed(loss: float, hours: float) -> None:
    settings = FeasibilitySettings(headroom_sizing="loss", absorbed_loss=loss, attrition_per_h=0.05)
    share = committable_share(1_000.0, hours * HOUR_S, None, settings)
    left = 1_000.0 * np.exp(-0.05 * hours) * (1.0 - loss)
    assert share * 1_000.0 == pytest.approx(left)
    # q_max = 1 - kappa / (G (1 - q_nat)), with kappa / G the share (control.md 3).
    assert 1.0 - share / np.exp(-0.05 * hours) == pytest.approx(loss)


def test_what_is_committed_keeps_the_headroom_off_a_constant_and_a_stepped_target(image: Any) -> None:
    picture = image(10, power_w=0.0)
    able = capability(picture, NOW_S, NOW_S + 900.0, CapabilitySettings())

    def told(pieces: Any, headroom: Headroom) -> Any:
        return feasible(
            picture,
            able,
            np.ones(10),
            np.ones(10, dtype=np.bool_),
            Topology(()),
            ordered_power_w=1e9,
            window_s=900.0,
            mode=DispatchMode.NET_EXPORT,
            settings=FeasibilitySettings(),
            pieces=pieces,
            headroom=headroom,
        )

    constant = told((), Headroom(share_frac=0.3))
    assert constant.committed_power_w == pytest.approx(0.7 * constant.expected_power_w)
    stepped = told(((450.0, 1e9), (450.0, 1e9)), Headroom(share_frac=0.3))
    assert stepped.committed_power_w == pytest.approx(constant.committed_power_w, rel=1e-6)
    assert told(((450.0, 1e9), (450.0, 1e6)), Headroom(power_w=1e12)).committed_power_w == pytest.approx(0.0)
