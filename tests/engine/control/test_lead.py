"""When a scheduled dispatch goes out, and how early its cars begin."""

import pytest

from counterflow.domain.ids import ALL_SITES, DispatchId
from counterflow.domain.instructions import AllocationPolicy, DispatchInstruction, DispatchMode, TargetStep
from counterflow.engine.control.lead import ScheduledStartSettings, first_tick_s, lead_s


@pytest.mark.parametrize(
    ("notice_s", "ahead_s", "expected_s"),
    [(0.0, 60.0, 0.0), (29.0, 60.0, 0.0), (30.0, 60.0, 30.0), (59.0, 60.0, 59.0), (3_600.0, 60.0, 60.0), (3_600.0, 0.0, 0.0)],
)
def test_profiles_go_out_ahead_where_there_is_notice(notice_s: float, ahead_s: float, expected_s: float) -> None:
    instruction = DispatchInstruction(
        dispatch_id=DispatchId("d"),
        start_s=10_000.0,
        end_s=11_000.0,
        steps=(TargetStep(from_s=10_000.0, discharge_power_w=1_000.0),),
        pool=ALL_SITES,
        policy=AllocationPolicy.HYBRID,
        mode=DispatchMode.NET_EXPORT,
        priority=0,
        accepted_at_s=10_000.0 - notice_s,
    )
    assert first_tick_s(instruction, ScheduledStartSettings(ahead_s=ahead_s)) == 10_000.0 - expected_s


def test_the_lead_is_the_delay_and_half_the_ramp_and_bounded() -> None:
    settings = ScheduledStartSettings(lead_delay_s=5.0, lead_ramp_w_per_s=2_000.0, max_lead_s=12.0)
    assert lead_s(-8_000.0, settings) == 7.0
    assert lead_s(8_000.0, settings) == 7.0
    assert lead_s(0.0, settings) == 5.0
    assert lead_s(-80_000.0, settings) == 12.0
