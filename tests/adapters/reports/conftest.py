"""A report with a gap in its meter values, as a fixture."""

from collections.abc import Callable

import pytest

from counterflow.domain.delivery import DeliveryReport, DropOut, Gap, SeriesPoint, SessionDelivery
from counterflow.domain.ids import ALL_SITES, DispatchId, SessionUid
from counterflow.domain.instructions import AllocationPolicy, DispatchInstruction, DispatchMode, DispatchState, TargetStep
from counterflow.domain.settlement import Quality

START_S = 1_795_366_800.0


def _make_report(
    *,
    steps: int = 60,
    drops: int = 3,
    unknown: tuple[int, int] = (20, 30),
    dispatch_id: str = "D-1",
    mode: DispatchMode = DispatchMode.NET_EXPORT,
) -> DeliveryReport:
    instruction = DispatchInstruction(
        dispatch_id=DispatchId(dispatch_id),
        start_s=START_S,
        end_s=START_S + 240.0,
        steps=(TargetStep(from_s=START_S, discharge_power_w=1.4e6),),
        pool=ALL_SITES,
        policy=AllocationPolicy.HYBRID,
        mode=mode,
        priority=0,
        accepted_at_s=START_S,
        state=DispatchState.COMPLETED,
    )
    series = tuple(
        SeriesPoint(
            from_s=START_S + 4.0 * k,
            target_power_w=1.4e6,
            delivered_power_w=None if unknown[0] <= k < unknown[1] else 1.39e6 + 1000.0 * k,
            delivered_energy_wh=1555.0,
            headroom_power_w=None if k > 50 else 2e5,
            metered_share=0.5 if unknown[0] <= k < unknown[1] else 1.0,
            quality=Quality.MISSING if unknown[0] <= k < unknown[1] else Quality.GOOD,
        )
        for k in range(steps)
    )
    session = SessionDelivery(
        session_uid=SessionUid(1),
        station_id='CS,"1"',
        transaction_id="T1",
        joined_s=START_S,
        left_s=None,
        exported_wh=466.0,
        imported_wh=0.0,
        delivered_wh=466.0,
        uncertainty_wh=1.5,
        from_register=True,
        setpoint_changes=2,
        drop_out=None,
        evse_id=3,
        baseline_wh=-120.0,
        availability_frac=1.0,
        quality=Quality.GOOD,
        samples=24,
    )
    return DeliveryReport(
        dispatch_id=DispatchId(dispatch_id),
        version=2,
        generated_at_s=START_S + 300.0,
        instruction=instruction,
        target_energy_wh=93_333.0,
        delivered_energy_wh=1555.0 * steps,
        uncertainty_wh=120.0,
        shortfall_energy_wh=33.0,
        tracking_rmse_frac=0.004 if steps else None,
        worst_10s_error_frac=0.01 if steps else None,
        time_in_band_frac=1.0 if steps else None,
        members=200,
        messages_sent=230,
        drop_outs=tuple(
            DropOut(at_s=START_S + 120.0 + 70 * k, session_uid=SessionUid(k), kind="ended", lost_power_w=7000.0, replaced_by=1)
            for k in range(drops)
        ),
        gaps=(Gap(session_uid=SessionUid(1), from_s=START_S + 80, to_s=START_S + 120, bridged_by_register=True),),
        sessions=(session,),
        series=series,
        series_step_s=4.0,
        final=True,
        notes=("a note",),
    )


@pytest.fixture(scope="session")
def make_report() -> Callable[..., DeliveryReport]:
    """Makes one."""
    return _make_report


@pytest.fixture(scope="session")
def start_s() -> float:
    """The start of its window."""
    return START_S
