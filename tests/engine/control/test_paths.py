"""Which targets move."""

import pytest

from counterflow.domain.ids import ALL_SITES, DispatchId
from counterflow.domain.instructions import AllocationPolicy, DispatchInstruction, DispatchMode, TargetStep
from counterflow.engine.control.paths import moves

GAP_S = 180.0


@pytest.mark.parametrize(
    ("changes_s", "now_s", "expected"),
    [
        ([], 0.0, False),
        ([600.0], 600.0, False),
        ([600.0, 900.0], 900.0, False),
        ([600.0, 700.0], 650.0, True),
        ([600.0, 700.0], 700.0 + GAP_S, True),
        ([600.0, 700.0], 701.0 + GAP_S, False),
        ([4.0 * step for step in range(1, 100)], 0.0, True),
    ],
)
def test_a_target_moves_while_two_changes_lie_close_together(changes_s: list[float], now_s: float, expected: bool) -> None:
    instruction = DispatchInstruction(
        dispatch_id=DispatchId("d"),
        start_s=0.0,
        end_s=3_600.0,
        steps=tuple(TargetStep(from_s=at_s, discharge_power_w=1_000.0) for at_s in (0.0, *changes_s)),
        pool=ALL_SITES,
        policy=AllocationPolicy.HYBRID,
        mode=DispatchMode.NET_EXPORT,
        priority=0,
        accepted_at_s=0.0,
    )
    assert moves(instruction, now_s, GAP_S) is expected
