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
from counterflow.domain.delivery import DeliveryReport, DropOut, Gap, SeriesPoint, SessionDelivery
from counterflow.domain.ids import ALL_SITES, DispatchId, SessionUid
from counterflow.domain.instructions import AllocationPolicy, DispatchInstruction, DispatchMode, DispatchState, TargetStep

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
            "joined": "2026-11-22T17:00:00Z",
            "left": "",
        }
    ]


def test_parquet_holds_the_series_and_the_rest_in_its_metadata():
    report = make_report()
    (content,) = render(report, "parquet").values()
    table = pq.read_table(BytesIO(content))
    assert table.column("delivered_power_w").null_count == 10
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
