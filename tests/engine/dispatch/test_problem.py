"""A problem that cannot be is refused when it is made."""

from typing import Any

import numpy as np
import pytest


@pytest.mark.parametrize(
    "broken",
    [
        {"target_w": np.nan},
        {"target_w": -1.0},
        {"target_w": np.inf},
        {"caps_w": [np.nan, 1.0]},
        {"caps_w": [np.inf, 1.0]},
        {"caps_w": [-1.0, 1.0]},
        {"weights": [0.0, 1.0]},
        {"gain": [0.0, 1.0]},
        {"energy_wh": [np.nan, 1.0]},
        {"min_w": [-1.0, 0.0]},
        {"running": [True]},
        {"site": [0, 3]},
    ],
)
def test_refuses(problem: Any, broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        problem(**{"target_w": 1.0, "caps_w": [1.0, 1.0], **broken})


def test_a_car_without_cap_needs_no_weight(problem: Any) -> None:
    assert problem(1.0, [0.0, 1.0], weights=[0.0, 1.0]).target_w == 1.0
