"""The PDF: what stands in it, with units, times and quality; how many pages; the same report gives the same file."""

import re
from itertools import pairwise

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from msgspec.structs import replace

from counterflow.adapters.reports import as_pdf, render, render_first
from counterflow.adapters.reports import pdf_words as words
from counterflow.adapters.reports.pdf_chart import draw_chart
from counterflow.domain.delivery import DropOut
from counterflow.domain.ids import DispatchId, SessionUid
from counterflow.domain.instructions import DispatchState, Feasibility
from counterflow.domain.settlement import (
    BaselineMethod,
    BaselineStatement,
    ClockSkew,
    Evidence,
    Quality,
    Recovery,
    Revision,
)

START_S = 1_795_366_800.0
RIGHT_EDGE = 0.925


def pages(content: bytes) -> int:
    return len(re.findall(rb"/Type /Page\b", content))


@pytest.fixture
def full_report(make_report):
    """Everything that a report can tell."""

    def make(**changes):
        return replace(_filled(make_report(steps=225, drops=3)), **changes)

    return make


def _filled(report):
    [session] = report.sessions
    sessions = tuple(
        replace(session, session_uid=SessionUid(uid), station_id=f"CS-{uid}", transaction_id=f"T-{uid}", delivered_wh=float(uid))
        for uid in range(60)
    )
    return replace(
        report,
        sessions=sessions,
        baseline=BaselineStatement(
            method=BaselineMethod.FORWARD, description="Simulated.", known_error="2 %.", energy_wh=12_000.0, complete=False
        ),
        availability_frac=0.93,
        flagged_wh=12.0,
        quality=Quality.ESTIMATED,
        recovery=Recovery(energy_wh=900.0, until_s=START_S + 500.0, ends_s=START_S + 4_000.0, complete=False),
        clocks=(ClockSkew(station_id="CS-7", behind_s=-3.2, flagged=True),),
        revision=Revision(of_version=1, delivered_before_wh=1.0, sessions_changed=1, reasons=("Delivered energy is unchanged.",)),
        evidence=Evidence(samples=4711, samples_sha256="ab" * 32, log_sha256="cd" * 32, settings={}),
        notes=tuple(f"note {number}" for number in range(20)),
    )


def test_the_file_is_a_pdf_of_a_few_pages_and_the_same_each_time(full_report):
    report = full_report()
    content, media_type, name = render_first(report, "pdf")
    assert content.startswith(b"%PDF-")
    assert (media_type, name) == ("application/pdf", "dispatch-D-1-v2.pdf")
    assert pages(content) == 4
    assert render_first(report, "pdf")[0] == content


def test_a_report_with_next_to_nothing_is_a_pdf_too(make_report):
    empty = replace(make_report(steps=0, drops=0), sessions=(), gaps=(), notes=(), final=False, dispatch_id=DispatchId("$x_{y}"))
    [content] = render(empty, "pdf").values()
    assert pages(content) == 2


def test_long_tables_go_on_over_pages(full_report):
    lost = [DropOut(at_s=START_S + k, session_uid=SessionUid(k), kind="silent", lost_power_w=7e3, replaced_by=0) for k in range(80)]
    report = full_report(drop_outs=tuple(lost))
    [content] = render(report, "pdf").values()
    assert 4 <= pages(content) <= 6
    rows, beyond = words.drop_out_rows(report)
    assert len(rows) == 44
    assert beyond.startswith("Of 80 drop-outs the largest are shown")


def test_the_first_page_says_who_what_and_how_much(full_report):
    report = full_report()
    assert words.heading(report) == "Dispatch D-1 · version 2, final · made 2026-11-22T17:05:00Z"
    assert dict(words.terms(report))["Window"] == "2026-11-22 17:00:00 to 17:04:00 UTC"
    assert dict(words.terms(report))["Baseline"] == "forward"
    assert [name for name, _, _ in words.figures(report)] == ["Delivered", "Target", "Shortfall", "Availability", "Tracking error"]
    assert words.figures(report)[3][1] == "93.0 %"
    said = " ".join(words.verdict(report))
    assert "This version replaces version 1. Delivered energy is unchanged." in said
    assert "Data: estimated. Of the metered energy 12 Wh is from power alone." in said
    provisional = " ".join(words.verdict(replace(report, final=False)))
    assert "These figures are provisional" in provisional


def test_an_order_beyond_what_was_promised_is_marked(full_report):
    report = full_report()
    told = Feasibility(
        expected_power_w=1.2e6,
        low_power_w=1.1e6,
        expected_energy_wh=8e4,
        low_energy_wh=7e4,
        committed_power_w=1.0e6,
        shortfall_power_w=4e5,
        sessions=200,
        commitment_id="o-1",
        commitment_power_w=9e5,
    )
    said = " ".join(words.verdict(replace(report, instruction=replace(report.instruction, feasibility=told))))
    assert "When the order was accepted 1.000 MW of it were promised; 400.0 kW were not." in said
    assert "The order called commitment o-1 over 900.0 kW; 500.0 kW of it were above that and never promised." in said
    kept = replace(told, shortfall_power_w=0.0, commitment_power_w=1.4e6)
    said = " ".join(words.verdict(replace(report, instruction=replace(report.instruction, feasibility=kept))))
    assert "promised" not in said
    assert "The order called commitment o-1 over 1.400 MW." in said
    assert "commitment" not in " ".join(words.verdict(report))


def test_the_power_axis_has_its_zero_and_time_has_round_ticks(make_report):
    figure = Figure()
    draw_chart(figure, make_report(steps=45, drops=2, unknown=(0, 0)), (0.1, 0.1, 0.8, 0.8))
    [axes] = figure.axes
    assert axes.get_ylim()[0] == 0.0
    assert axes.get_xticks()[1] - axes.get_xticks()[0] == 0.5


def test_nothing_stands_outside_of_the_page_and_no_figure_in_the_next_ones_place(full_report):
    long = full_report(delivered_energy_wh=12_345_678.0, target_energy_wh=23_456_789.0)
    for figure in as_pdf.pages_of(long):
        canvas = FigureCanvasAgg(figure)
        boxes = [text.get_window_extent(canvas.get_renderer()) for text in figure.texts]
        assert all(box.x1 <= RIGHT_EDGE * figure.bbox.width for box in boxes)
    front = as_pdf.pages_of(long)[0]
    renderer = FigureCanvasAgg(front).get_renderer()
    heads = [text.get_window_extent(renderer) for text in front.texts if text.get_weight() == "bold" and 11.5 < text.get_fontsize() < 21]
    assert all(left.x1 < right.x0 for left, right in pairwise(sorted(heads[:5], key=lambda box: box.x0)))


def test_what_an_older_report_does_not_tell_is_said(make_report):
    older = make_report(steps=0)
    assert dict(words.terms(older))["Baseline"] == "not told (older report)"
    assert words.figures(older)[3][1] == "unknown"
    assert words.figures(older)[4][1:] == ("unknown", "")
    assert words.figures(replace(older, target_energy_wh=0.0))[1][2] == ""
    ended = replace(older.instruction, resume_from_s=START_S + 60.0, state=DispatchState.CANCELLED, state_reason="by x")
    stopped = replace(older, instruction=ended)
    assert dict(words.terms(stopped))["Stopped"] == "2026-11-22 17:01:00 UTC"
    assert dict(words.terms(stopped))["Ended as"] == "cancelled (by x)"
    [(_, sentences)] = [part for part in words.methods(older) if part[0] == "How it was worked out"]
    assert len(sentences) == 2


def test_intervals_are_of_a_minute_and_add_up_with_their_quality(make_report):
    report = make_report()
    rows = words.interval_rows(report)
    assert [row[0] for row in rows] == ["17:00:00", "17:01:00", "17:02:00", "17:03:00"]
    assert sum(int(row[3].replace(",", "")) for row in rows) == report.delivered_energy_wh
    assert rows[1][2] == "unknown"
    assert [row[-1] for row in rows] == ["good", "missing", "good", "good"]
    assert words.interval_total(report)[3] == "93,300"


@pytest.mark.parametrize(("hours", "rows"), [(0.5, 30), (2.0, 24), (9.0, 36), (40.0, 40)])
def test_longer_windows_have_longer_intervals(hours, rows, make_report):
    report = make_report(steps=int(hours * 900), unknown=(0, 0))
    longer = replace(report, instruction=replace(report.instruction, end_s=START_S + hours * 3600.0))
    assert len(words.interval_rows(longer)) == rows


def test_evses_are_summed_and_the_worst_quality_counts(full_report):
    report = full_report()
    rows, beyond = words.evse_rows(report)
    given = sum(session.delivered_wh for session in report.sessions)
    assert words.evse_total(report)[:7] == ["All 60 EVSEs", "", "60", "27,960", "0", "-7,200", f"{given:,.0f}"]
    assert rows[0][:3] == ["CS-59", "3", "1"]
    assert beyond.startswith("Of 60 EVSEs those that gave most are shown")
    first, second, *_ = report.sessions
    both = replace(
        report,
        sessions=(
            replace(first, station_id="A", delivered_wh=1.0, quality=Quality.MISSING),
            replace(second, station_id="A", delivered_wh=2.0, availability_frac=None),
        ),
    )
    [[station, evse, count, *_, delivered, unsure, available, quality]], beyond = words.evse_rows(both)
    assert (station, evse, count, delivered, unsure, available, quality, beyond) == ("A", "3", "2", "3", "2", "100 %", "missing", "")
    older = replace(both, sessions=tuple(replace(each, quality=None, availability_frac=None, evse_id=0) for each in both.sessions))
    [row], _ = words.evse_rows(older)
    assert (row[1], row[-2], row[-1]) == ("", "unknown", "not told")


def test_the_last_page_tells_methods_uncertainty_data_and_how_to_check(full_report, make_report):
    parts = dict(words.methods(full_report()))
    assert "Baseline (forward, 12.00 kWh): Simulated. It is not complete yet" in parts["How it was worked out"][2]
    assert parts["How it was worked out"][3] == "What it is known to be off by: 2 %."
    assert "drew 900 Wh up to 2026-11-22 17:08:20 UTC" in parts["Recovery"][0]
    assert "should they draw more until then, a later version says so" in parts["Recovery"][0]
    assert "Gaps in the meter values: 1, of which registers bridge 1." in parts["Data quality"]
    assert any("CS-7 (-3.2 s)" in sentence for sentence in parts["Data quality"])
    assert parts["Data quality"][-1] == "... and 8 more notes in the JSON of the report."
    assert "4,711 meter values" in parts["How to check it"][1]
    assert parts["How to check it"][2:] == ["ab" * 32, "cd" * 32]
    bare = dict(words.methods(replace(make_report(), gaps=(), notes=())))
    assert bare["Data quality"] == ["No gaps in the meter values."]
    assert bare["Recovery"] == []
    assert len(bare["How to check it"]) == 1
