"""A series on coarser grids: the Wh add up to the same, and a mean is told only where enough of it is known."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from counterflow.domain.delivery import DeliveryReport, SeriesPoint
from counterflow.domain.instructions import DispatchInstruction
from counterflow.domain.series import regridded, timed
from counterflow.domain.settlement import Quality

START_S = 1_800_000_000.0


def report_of(powers: list[float | None], length_s: float | None = None, **changes: Any) -> DeliveryReport:
    end_s = START_S + (4.0 * len(powers) if length_s is None else length_s)
    order: dict[str, Any] = {"dispatch_id": "d", "start_s": START_S, "end_s": end_s, "steps": (), "pool": "all", "policy": "hybrid"}
    instruction = msgspec.convert(order | {"mode": "net_export", "priority": 0, "accepted_at_s": START_S}, DispatchInstruction)
    series = tuple(
        SeriesPoint(
            from_s=START_S + 4.0 * place,
            target_power_w=1_000.0,
            delivered_power_w=power_w,
            delivered_energy_wh=float(place % 3),
            headroom_power_w=None if place % 2 else 500.0,
            metered_share=0.0 if power_w is None else 1.0,
            baseline_energy_wh=-1.0,
            quality=Quality.MISSING if power_w is None else Quality.GOOD,
        )
        for place, power_w in enumerate(powers)
    )
    fields: dict[str, Any] = dict.fromkeys(DeliveryReport.__struct_fields__, 0)
    fields |= dict.fromkeys(("drop_outs", "gaps", "sessions", "notes", "not_judged", "clocks"), ())
    fields |= dict.fromkeys(("baseline", "quality", "recovery", "revision", "evidence"))
    fields |= {"dispatch_id": "d", "instruction": instruction, "series": series, "series_step_s": 4.0, "final": True}
    return replace(msgspec.convert(fields, DeliveryReport), **changes)


@given(
    powers=st.lists(st.one_of(st.none(), st.floats(0.0, 1e6)), min_size=1, max_size=300),
    step_s=st.sampled_from([4.0, 60.0, 900.0]),
    cut_s=st.floats(0.1, 4.0),
)
def test_every_grid_has_the_same_total(powers: list[float | None], step_s: float, cut_s: float) -> None:
    report = report_of(powers, 4.0 * (len(powers) - 1) + cut_s)
    coarse = regridded(report, step_s)
    for name in ("delivered_energy_wh", "baseline_energy_wh"):
        assert sum(getattr(point, name) for point in coarse.series) == sum(getattr(point, name) for point in report.series)
    assert sum(length_s for _, length_s in timed(coarse)) == pytest.approx(4.0 * (len(powers) - 1) + cut_s, abs=1e-6)
    assert coarse.series_step_s == step_s
    assert [point.from_s - START_S for point in coarse.series] == [step_s * place for place in range(len(coarse.series))]


def test_a_mean_is_weighted_by_time_and_unknown_where_too_little_is_known() -> None:
    report = report_of([1_000.0] * 14 + [2_500.0], 58.0)
    [minute] = regridded(report, 60.0).series
    assert minute.delivered_power_w == pytest.approx((14 * 4 * 1_000.0 + 2 * 2_500.0) / 58.0)
    assert (minute.headroom_power_w, minute.quality, minute.metered_share) == (500.0, Quality.GOOD, 1.0)
    [gappy] = regridded(report_of([1_000.0] * 12 + [None] * 3), 60.0).series
    assert (gappy.delivered_power_w, gappy.quality) == (None, Quality.MISSING)
    [nearly] = regridded(report_of([1_000.0] * 14 + [None]), 60.0).series
    assert (nearly.delivered_power_w, nearly.quality) == (1_000.0, Quality.GOOD)
    report = report_of([1_000.0] * 15)
    guessed = tuple(replace(point, quality=Quality.ESTIMATED, headroom_power_w=None) for point in report.series)
    [estimated] = regridded(replace(report, series=guessed), 60.0).series
    assert (estimated.quality, estimated.headroom_power_w) == (Quality.ESTIMATED, None)
    older = tuple(replace(point, quality=None) for point in report.series)
    assert regridded(replace(report, series=older), 60.0).series[0].quality is None


@pytest.mark.parametrize("step_s", [2.0, 6.0, 0.0, -4.0])
def test_a_step_that_is_no_multiple_is_refused(step_s: float) -> None:
    with pytest.raises(ValueError, match="is no multiple of the report's own"):
        regridded(report_of([1.0]), step_s)
    with pytest.raises(ValueError, match="is no multiple"):
        regridded(report_of([1.0], series_step_s=0.0), 4.0)


def test_an_empty_series_stays_empty_and_a_stop_shortens_the_last_step() -> None:
    empty = report_of([])
    assert regridded(empty, 900.0) == empty
    assert timed(empty) == []
    report = report_of([1.0, 1.0], 900.0)
    stopped = replace(report, instruction=replace(report.instruction, resume_from_s=START_S + 5.0))
    assert [length_s for _, length_s in timed(stopped)] == [4.0, 1.0]
    running = replace(report, final=False, generated_at_s=START_S + 7.0)
    assert [length_s for _, length_s in timed(running)] == [4.0, 3.0]
    odd = replace(stopped, instruction=replace(report.instruction, resume_from_s=START_S))
    assert [length_s for _, length_s in timed(odd)] == [4.0, 4.0]
