import csv
import json
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO, StringIO

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.image import imread
from msgspec.structs import replace

from counterflow.adapters.reports import FORMATS, render, render_first
from counterflow.adapters.reports.as_evidence import read_evidence, write_evidence
from counterflow.adapters.reports.as_json import json_report
from counterflow.adapters.reports.as_parquet import SUMMARY_KEY
from counterflow.adapters.reports.as_picture import axis_length_s, draw, order_words
from counterflow.domain.delivery import (
    DeliveryReport,
    LogEntry,
    LogKind,
    Pause,
    Sample,
    Stored,
    drop_out_words,
)
from counterflow.domain.ids import SessionUid
from counterflow.domain.instructions import DispatchMode, DispatchState, TargetStep
from counterflow.domain.settlement import CarState, PastSession

START_S = 1_795_366_800.0


def rows(content):
    return list(csv.DictReader(StringIO(content.decode())))


def test_json_comes_back_as_the_same_report_and_unknown_is_null(make_report):
    report = make_report()
    (content,) = render(report, "json").values()
    assert json_report(content) == report
    assert json.loads(content)["series"][20]["delivered_power_w"] is None


def test_csv_has_a_table_of_the_series_and_one_of_the_sessions(make_report):
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
            "recovery_wh": "0",
            "availability_frac": "1",
            "quality": "good",
            "samples": "24",
            "samples_sha256": "",
            "plan_frozen": "",
            "joined": "2026-11-22T17:00:00Z",
            "left": "",
        }
    ]


def test_parquet_holds_the_series_and_the_rest_in_its_metadata(make_report):
    report = make_report()
    (content,) = render(report, "parquet").values()
    table = pq.read_table(BytesIO(content))
    assert table.column("delivered_power_w").null_count == 10
    assert table.column("quality").to_pylist().count("missing") == 10
    assert table.column("from")[0].as_py().isoformat() == "2026-11-22T17:00:00+00:00"
    summary = msgspec.json.decode(table.schema.metadata[SUMMARY_KEY], type=DeliveryReport)
    assert summary == msgspec.structs.replace(report, series=())


def test_the_picture_is_1600_by_900_and_shows_target_delivery_headroom_and_drop_outs(make_report):
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
def test_every_format_can_show_a_report_with_little_in_it(format_name, options, make_report):
    assert all(render(make_report(**options), format_name).values())


def count(content, colour, part=(slice(None), slice(None))):
    pixels = imread(BytesIO(content))[part]
    wanted = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    return int((np.abs(pixels[..., :3] - wanted).max(axis=-1) < 0.02).sum())


def drawn(report):
    (content,) = render(report, "png").values()
    return content


def test_a_car_that_did_not_respond_is_no_car_that_was_lost(make_report):
    report = make_report(drops=3)
    deaf = tuple(msgspec.structs.replace(drop, kind="not_responding", lost_power_w=1.0) for drop in report.drop_outs)
    assert drop_out_words(report.drop_outs) == "3 lost"
    assert drop_out_words(report.drop_outs[:1] + deaf[1:]) == "1 lost, 2 did not respond"
    picture = drawn(msgspec.structs.replace(report, drop_outs=deaf))
    assert count(picture, "#c8352b") == 0
    assert count(picture, "#8a6d1f") > 30


def test_a_loss_of_nothing_has_a_mark_and_no_words(make_report):
    report = make_report(drops=1)
    nothing = tuple(msgspec.structs.replace(drop, lost_power_w=0.4) for drop in report.drop_outs)
    words = count(drawn(report), "#c8352b") - count(drawn(msgspec.structs.replace(report, drop_outs=nothing)), "#c8352b")
    assert words > 30


def test_what_is_not_judged_is_shaded_and_what_is_clipped_has_an_arrow(make_report):
    report = make_report(drops=0, unknown=(0, 0))
    plain = drawn(report)
    pause = Pause(from_s=START_S, to_s=START_S + 60.0, why="start")
    assert count(drawn(msgspec.structs.replace(report, not_judged=(pause,))), "#e0e5eb") > count(plain, "#e0e5eb") + 5000
    far = tuple(msgspec.structs.replace(point, delivered_power_w=-7e5) if k < 3 else point for k, point in enumerate(report.series))
    at_the_edge = (slice(805, 830), slice(140, 186))
    """Below the first seconds of the error: the curve is far outside of the picture there."""
    assert count(drawn(msgspec.structs.replace(report, series=far)), "#0b6fb8", at_the_edge) > 30
    assert count(plain, "#0b6fb8", at_the_edge) == 0


def spoilt(make_report, errors):
    """A report with such errors, as shares of the target, at some of its 60 steps."""
    report = make_report(drops=0, unknown=(0, 0))
    series = [replace(point, delivered_power_w=1.4e6 * (1.0 + errors.get(k, 0.0))) for k, point in enumerate(report.series)]
    return replace(report, series=tuple(series), not_judged=(Pause(from_s=START_S, to_s=START_S + 60.0, why="start"),))


@pytest.mark.parametrize(
    "errors",
    [
        {},
        dict.fromkeys(range(60), 0.01),
        dict.fromkeys(range(60), -0.05),
        dict.fromkeys(range(48, 58), 1.5),
        dict.fromkeys(range(48, 58), -1.5),
        {57: 3.0, 59: 120.0},
        {k: 0.3 if k % 4 else -0.4 for k in range(60)},
        {k: (k % 2) * (1.0 + k) for k in range(60)},
    ],
    ids=["none", "small", "negative", "large above", "large below", "at the end", "to and fro", "one after the other"],
)
def test_no_words_of_the_error_lie_on_others_or_beyond_the_picture(make_report, errors):
    figure = draw(spoilt(make_report, errors))
    renderer = figure.canvas.get_renderer()
    figure.draw(renderer)
    below = figure.axes[1]
    words = [one for one in (*figure.texts, *below.texts, below.xaxis.label) if one.get_text()]
    boxes = {id(one): one.get_window_extent(renderer) for one in words}
    assert [one for one in words if one.get_text().startswith("blue band")]
    for number, one in enumerate(words):
        box = boxes[id(one)]
        assert box.x0 >= 0.0
        assert box.y0 >= 0.0
        assert box.x1 <= 1600.0, one
        assert not [other.get_text() for other in words[number + 1 :] if box.overlaps(boxes[id(other)])], one
    told = [one for one in below.texts if one.get_text().endswith(" %")]
    assert bool(told) == any(abs(error) > 0.1 for error in errors.values())
    if told:
        most = max(errors.values(), key=abs)
        assert f"{100 * most:+.0f} %".replace("-", "\u2212") in [one.get_text() for one in told], "the largest is told"


def test_a_dispatch_that_was_amended_and_cancelled_says_so_and_ends_there(make_report):
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


def test_several_pictures_can_be_drawn_at_once_and_are_the_same(make_report):
    report = make_report()
    with ThreadPoolExecutor(3) as threads:
        pictures = list(threads.map(lambda _: render_first(report, "png")[0], range(3)))
    assert len(set(pictures)) == 1


def test_file_names_cannot_leave_their_folder(make_report):
    content, media_type, name = render_first(make_report(dispatch_id='../../x"\r\n'), "json")
    assert name == "dispatch-.._.._x___-v2.json"
    assert media_type == "application/json"
    assert content


def test_an_unknown_format_is_a_key_error(make_report):
    with pytest.raises(KeyError):
        render(make_report(), "xls")


def test_what_a_report_was_made_from_comes_back_to_the_bit(make_report):
    nan = float("nan")
    samples = (
        Sample(SessionUid(1), START_S + 0.1, -7000.123456789, nan, 5.0, 0.5, START_S + 0.3),
        Sample(SessionUid(2), START_S, 1.0, 2.0, nan, nan),
    )
    entry = LogEntry(at_s=START_S, kind=LogKind.CAR, session_uid=SessionUid(1), car=CarState(1.0, None, 2.0, None, 0.8))
    past = PastSession(session_uid=SessionUid(9), station_id="CS", evse_id=1, day_start_s=START_S - 86_400.0)
    stored = Stored(
        instruction=make_report().instruction,
        log=(entry,),
        samples=samples,
        after=samples[:1],
        history=samples[1:],
        past=(past,),
        past_days_s=(1.0,),
    )
    assert repr(read_evidence(write_evidence(stored))) == repr(stored)
    bare = replace(stored, samples=(), after=(), history=())
    assert read_evidence(write_evidence(bare)) == bare


def test_another_file_is_no_evidence(make_report):
    (table,) = render(make_report(), "parquet").values()
    for content in (b"", b"nonsense", table):
        with pytest.raises(ValueError, match="it is no table of meter values"):
            read_evidence(content)
