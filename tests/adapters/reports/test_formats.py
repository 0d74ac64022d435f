import csv
import json
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO, StringIO

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.image import imread

from counterflow.adapters.reports import FORMATS, render, render_first
from counterflow.adapters.reports.as_json import json_report
from counterflow.adapters.reports.as_parquet import SUMMARY_KEY
from counterflow.adapters.reports.as_picture import axis_length_s, order_words
from counterflow.domain.delivery import DeliveryReport, DropOut, Gap, Pause, SeriesPoint, SessionDelivery, drop_out_words
from counterflow.domain.ids import ALL_SITES, DispatchId, SessionUid
from counterflow.domain.instructions import AllocationPolicy, DispatchInstruction, DispatchMode, DispatchState, TargetStep
from counterflow.domain.settlement import Quality

START_S = 1_795_366_800.0


def make_report(*, steps=60, drops=3, unknown=(20, 30), dispatch_id="D-1", mode=DispatchMode.NET_EXPORT):
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


def rows(content):
    return list(csv.DictReader(StringIO(content.decode())))


def test_json_comes_back_as_the_same_report_and_unknown_is_null():
    report = make_report()
    (content,) = render(report, "json").values()
    assert json_report(content) == report
    assert json.loads(content)["series"][20]["delivered_power_w"] is None


def test_csv_has_a_table_of_the_series_and_one_of_the_sessions():
    series, sessions = render(make_report(), "csv").values()
    table = rows(series)
    assert len(table) == 60
    assert table[0]["from"] == "2026-11-22T17:00:00Z"
    assert sum(float(row["delivered_energy_wh"]) for row in table) == 93_300.0
    assert table[20]["delivered_power_w"] == ""
    assert rows(sessions) == [
        {
            "session_uid": "1",
            "station_id": 'CS,"1"',
            "transaction_id": "T1",
            "exported_wh": "466",
            "imported_wh": "0",
            "delivered_wh": "466",
            "uncertainty_wh": "1.5",
            "from_register": "true",
            "setpoint_changes": "2",
            "drop_out": "",
            "evse_id": "3",
            "baseline_wh": "-120",
            "flagged_wh": "0",
            "availability_frac": "1",
            "quality": "good",
            "samples": "24",
            "samples_sha256": "",
            "joined": "2026-11-22T17:00:00Z",
            "left": "",
        }
    ]


def test_parquet_holds_the_series_and_the_rest_in_its_metadata():
    report = make_report()
    (content,) = render(report, "parquet").values()
    table = pq.read_table(BytesIO(content))
    assert table.column("delivered_power_w").null_count == 10
    assert table.column("quality").to_pylist().count("missing") == 10
    assert table.column("from")[0].as_py().isoformat() == "2026-11-22T17:00:00+00:00"
    summary = msgspec.json.decode(table.schema.metadata[SUMMARY_KEY], type=DeliveryReport)
    assert summary == msgspec.structs.replace(report, series=())


def test_the_picture_is_1600_by_900_and_shows_target_delivery_headroom_and_drop_outs():
    (content,) = render(make_report(), "png").values()
    pixels = imread(BytesIO(content))
    assert pixels.shape[:2] == (900, 1600)
    for colour in ("#0b6fb8", "#1d2733", "#c8352b"):
        wanted = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
        assert (np.abs(pixels[..., :3] - wanted).max(axis=-1) < 0.02).sum() > 30, colour


@pytest.mark.parametrize(
    "options", [{"steps": 0, "drops": 0}, {"steps": 1}, {"unknown": (0, 60)}, {"drops": 40}, {"mode": DispatchMode.RELATIVE}]
)
@pytest.mark.parametrize("format_name", sorted(FORMATS))
def test_every_format_can_show_a_report_with_little_in_it(format_name, options):
    assert all(render(make_report(**options), format_name).values())


def count(content, colour, part=(slice(None), slice(None))):
    pixels = imread(BytesIO(content))[part]
    wanted = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    return int((np.abs(pixels[..., :3] - wanted).max(axis=-1) < 0.02).sum())


def drawn(report):
    (content,) = render(report, "png").values()
    return content


def test_a_car_that_did_not_respond_is_no_car_that_was_lost():
    report = make_report(drops=3)
    deaf = tuple(msgspec.structs.replace(drop, kind="not_responding", lost_power_w=1.0) for drop in report.drop_outs)
    assert drop_out_words(report.drop_outs) == "3 lost"
    assert drop_out_words(report.drop_outs[:1] + deaf[1:]) == "1 lost, 2 did not respond"
    picture = drawn(msgspec.structs.replace(report, drop_outs=deaf))
    assert count(picture, "#c8352b") == 0
    assert count(picture, "#8a6d1f") > 30


def test_a_loss_of_nothing_has_a_mark_and_no_words():
    report = make_report(drops=1)
    nothing = tuple(msgspec.structs.replace(drop, lost_power_w=0.4) for drop in report.drop_outs)
    words = count(drawn(report), "#c8352b") - count(drawn(msgspec.structs.replace(report, drop_outs=nothing)), "#c8352b")
    assert words > 30


def test_what_is_not_judged_is_shaded_and_what_is_clipped_has_an_arrow():
    report = make_report(drops=0, unknown=(0, 0))
    plain = drawn(report)
    pause = Pause(from_s=START_S, to_s=START_S + 60.0, why="start")
    assert count(drawn(msgspec.structs.replace(report, not_judged=(pause,))), "#e0e5eb") > count(plain, "#e0e5eb") + 5000
    far = tuple(msgspec.structs.replace(point, delivered_power_w=-7e5) if k < 3 else point for k, point in enumerate(report.series))
    at_the_edge = (slice(805, 830), slice(140, 186))
    """Below the first seconds of the error: the curve is far outside of the picture there."""
    assert count(drawn(msgspec.structs.replace(report, series=far)), "#0b6fb8", at_the_edge) > 30
    assert count(plain, "#0b6fb8", at_the_edge) == 0


def test_a_dispatch_that_was_amended_and_cancelled_says_so_and_ends_there():
    report = make_report(steps=11, drops=0, unknown=(0, 0))
    steps = (*report.instruction.steps, TargetStep(from_s=START_S + 20.0, discharge_power_w=140e3))
    stopped = msgspec.structs.replace(
        report.instruction, steps=steps, state=DispatchState.CANCELLED, ends_as=DispatchState.CANCELLED, resume_from_s=START_S + 44.0
    )
    cancelled = msgspec.structs.replace(report, instruction=stopped)
    assert order_words(cancelled) == "140.0 kW (amended), cancelled after 0:44 · net export"
    assert order_words(report) == "1.400 MW for 4 min · net export · completed"
    assert axis_length_s(cancelled) == 44.0
    assert axis_length_s(report) == 240.0


def test_several_pictures_can_be_drawn_at_once_and_are_the_same():
    report = make_report()
    with ThreadPoolExecutor(3) as threads:
        pictures = list(threads.map(lambda _: render_first(report, "png")[0], range(3)))
    assert len(set(pictures)) == 1


def test_file_names_cannot_leave_their_folder():
    content, media_type, name = render_first(make_report(dispatch_id='../../x"\r\n'), "json")
    assert name == "dispatch-.._.._x___-v2.json"
    assert media_type == "application/json"
    assert content


def test_an_unknown_format_is_a_key_error():
    with pytest.raises(KeyError):
        render(make_report(), "pdf")
