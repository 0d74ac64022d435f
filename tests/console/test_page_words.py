"""What pages say of what the API answers, without a browser."""

from math import isnan
from typing import Any

import pytest

from counterflow.console.charts import fan_options
from counterflow.console.lines import said
from counterflow.console.pages.delivered import REPORT_WITHIN_S, report_may_come, report_title, verdict_words, version_words
from counterflow.console.pages.dispatch_room import span_of
from counterflow.console.pages.fleet import why_words
from counterflow.console.pages.health import metric_rows, number_words
from counterflow.console.pages.offers import fan_words
from counterflow.console.pages.ordering import obstacle_words, preview_words
from counterflow.console.pages.sites import binding_words, conflict_rows, last_word, tree
from counterflow.console.pages.stations import setting_row
from counterflow.console.words import size, with_clocks

NOON_S = 1_795_348_800.0


def hour(number: int, p50_w: float, p99_w: float, power_w: float) -> dict[str, Any]:
    levels = [{"confidence": 0.5, "power_w": p50_w}, {"confidence": 0.99, "power_w": p99_w}]
    grounds = {"sessions": 12, "sessions_ready": 9, "rated_power_w": 90e3, "limited_power_w": 50e3, "lasting_power_w": 40e3}
    grounds["against_power_w"] = 60e3
    told = {"start_s": NOON_S + 3600.0 * number, "made_at_s": NOON_S, "confidence": 0.9, "power_w": power_w}
    return told | {"levels": levels, "grounds": grounds}


def test_the_fan_goes_from_what_is_sure_to_what_is_likely() -> None:
    options = fan_options([hour(0, 3e6, 1e6, 1.5e6), hour(1, 2e6, 0.5e6, 0.8e6)])
    sure, likely, offered = options["series"]
    assert [one["name"] for one in options["series"]] == ["P99", "P50", "offered"]
    assert [point[1] for point in sure["data"]] == [1.0, 0.5]
    assert [point[1] for point in likely["data"]] == [2.0, 1.5], "bands lie on each other: each is what it adds"
    assert sure["stack"] == likely["stack"]
    assert [point[1] for point in offered["data"]] == [1.5, 0.8]
    assert offered["data"][1][0] == 1e3 * (NOON_S + 3600.0)


def test_the_fan_in_words_says_why_there_is_nothing() -> None:
    assert "Now 1.500 MW with 90 % certainty, from 9 of 12 cars" in fan_words([hour(0, 3e6, 1e6, 1.5e6)])
    nothing = fan_words([hour(0, 0.0, 0.0, 0.0)])
    assert nothing.startswith("Nothing can be promised: of 12 cars that are plugged in, 9 may be discharged and are held by no dispatch; ")
    assert nothing.endswith(
        "of their 90.0 kW 50.0 kW fit the limits, 40.0 kW last, and 60.0 kW that others must charge counts against them."
    )
    assert fan_words([]) == "Nothing is known of the coming day."


@pytest.mark.parametrize(
    ("flow_w", "always_w", "held_w", "words"),
    [
        (450e3, 900e3, None, "450.0 kW of 900.0 kW"),
        (850e3, 900e3, None, "850.0 kW of 900.0 kW – nearly full"),
        (899e3, 900e3, None, "899.0 kW of 900.0 kW – binds: at its limit"),
        (300e3, 900e3, 300e3, "300.0 kW of 300.0 kW – held by the grid operator; binds: at its limit"),
        (1e3, 0.0, None, "1.0 kW of 0 W – binds: at its limit"),
    ],
)
def test_a_limit_says_whether_it_binds_and_whose_it_is(flow_w: float, always_w: float, held_w: float | None, words: str) -> None:
    assert binding_words(flow_w, always_w, held_w)[0] == words


def test_without_a_limit_nothing_binds() -> None:
    words, used = binding_words(5e3, None, None)
    assert words == "5.0 kW, no limit"
    assert isnan(used)


def test_sites_stand_below_their_feeders_and_orphans_at_the_top() -> None:
    limits = [{"group": "site a", "above": "feeder n"}, {"group": "feeder n", "above": None}, {"group": "site b", "above": "gone"}]
    assert [(depth, limit["group"]) for depth, limit in tree(limits)] == [(0, "feeder n"), (1, "site a"), (0, "site b")]


def test_a_report_says_its_version_and_what_came_of_making_it_again() -> None:
    newest = {"version": 2, "generated_at_s": NOON_S, "delivered_energy_wh": 8_300.0, "uncertainty_wh": 40.0, "sha256": "ab12"}
    words, mark = version_words([{**newest, "version": 1}, newest])
    assert words.startswith("Version 2 of ")
    assert mark == "SHA-256 of its file: ab12."
    assert "older release" in version_words([{**newest, "sha256": ""}])[1]
    assert version_words([]) == ["No version is kept yet: it is written once the meter values are in."]
    assert verdict_words({"holds": True, "samples": 1200}) == ["Verified: made again from 1,200 meter values it says the same, to the Wh."]
    assert verdict_words({"holds": False, "differences": ["The log is another."]})[1:] == ["The log is another."]


def test_a_report_is_listed_with_what_it_says_was_delivered() -> None:
    view = {"instruction": {"dispatch_id": "d-1", "start_s": NOON_S, "state": "completed"}, "delivered_energy_wh": 8_000.0}
    assert report_title(view, 8_300.0).endswith(", completed, 8.30 kWh delivered")
    assert report_title(view, None).endswith(", completed, 8.00 kWh by the meters as they stood")
    assert report_title(view | {"delivered_energy_wh": None}, None).endswith(", completed"), "what is not known is not said to be zero"


def test_a_report_is_waited_for_until_a_while_after_the_end_and_not_for_ever() -> None:
    view = {"instruction": {"start_s": NOON_S, "end_s": NOON_S + 60.0}}
    over_s = NOON_S + 60.0 + REPORT_WITHIN_S
    assert [report_may_come(view, at_s) for at_s in (NOON_S - 1.0, NOON_S, over_s, over_s + 1.0)] == [False, True, True, False]


@pytest.mark.parametrize(
    ("setpoint_w", "reason", "dispatch_id", "words"),
    [
        (None, "driver_stop", None, "in words"),
        (5e3, "driver_stop", "d-1", "in words"),
        (None, "ready", None, "in words; no dispatch asks for it"),
        (0.0, "ready", "d-1", "stands by at 0 W until its dispatch needs it"),
        (3e3, "ready", "d-1", "gives a part of the 7.0 kW that it can, as much as is needed"),
        (7e3, "ready", "d-1", "gives all that it can"),
        (-2e3, "ready", "d-1", "charges less: at most 2.0 kW, which counts as delivered"),
    ],
)
def test_a_row_says_why_a_car_is_left_out_or_what_its_share_is(
    setpoint_w: float | None, reason: str, dispatch_id: str | None, words: str
) -> None:
    view = {"reason": reason, "reason_text": "in words", "setpoint_w": setpoint_w, "available_power_w": 7e3, "dispatch_id": dispatch_id}
    assert why_words(view) == words


def test_a_chart_does_not_show_what_was_before_its_dispatch() -> None:
    window = {"start_s": NOON_S, "end_s": NOON_S + 3600.0}
    assert span_of(window, 900.0, NOON_S + 300.0) == (NOON_S - 30.0, NOON_S + 300.0)
    assert span_of(window, 900.0, NOON_S + 1800.0) == (NOON_S + 900.0, NOON_S + 1800.0)
    assert span_of(window, 900.0, NOON_S + 1.0) == (NOON_S - 119.0, NOON_S + 1.0), "and is two minutes wide at least"
    assert span_of(window, 0.0, NOON_S + 300.0) == (NOON_S - 30.0, NOON_S + 3660.0)


def test_who_else_steers_and_who_leads_in_words() -> None:
    one = {
        "station_id": "CS-1", "evse_id": 0, "site_id": "depot", "conflict": "none", "conflict_text": "other", "leader": "them",
        "other_profiles": [],
    }  # fmt: skip
    assert conflict_rows([one]) == [], "nobody else steers there"
    (row,) = conflict_rows([one | {"other_profiles": [{}]}])
    assert (row["evse"], row["leader"]) == ("whole station", "they lead")
    assert conflict_rows([one | {"conflict": "unresolved", "leader": None}])[0]["leader"] == "nobody has confirmed"
    word = {"leader": "us", "by": "Ms Depot", "at_s": NOON_S}
    assert last_word([word]).startswith("Last word: we lead, said by Ms Depot, ")
    assert "taken back" in last_word([word, word | {"leader": None}])
    assert last_word([]) == "Nobody has confirmed anything."


def test_a_setting_that_we_changed_is_written_as_people_write_it() -> None:
    variable = {"component": "V2XChargingCtrlr", "name": "TxUpdatedInterval", "instance": "CentralSetpoint", "evse_id": 1}
    row = setting_row({"variable": variable, "former": "", "ours": ["20", "10"], "set_at_s": NOON_S})
    assert (row["variable"], row["former"], row["ours"]) == (
        "V2XChargingCtrlr.TxUpdatedInterval[CentralSetpoint] of EVSE 1",
        "nothing",
        "10",
    )


PAGE = """# TYPE counterflow_gateway_messages counter
counterflow_gateway_messages_total{direction="in"} %d
# TYPE counterflow_tick_duration_seconds gauge
counterflow_tick_duration_seconds 0.0123
# TYPE counterflow_journal_behind gauge
counterflow_journal_behind 7
"""


def test_cards_are_filled_by_metrics_and_what_is_not_known_is_a_dash() -> None:
    before: dict[str, float] = {}
    first = number_words(metric_rows(PAGE % 100, before, 5.0))
    assert (first["control tick"], first["writes waiting"], first["frames in / s"]) == ("12.3 ms", "7", "–")
    second = number_words(metric_rows(PAGE % 200, before, 5.0))
    assert second["frames in / s"] == "20"
    assert second["frames out / s"] == "–"


def test_a_preview_says_what_is_feasible_what_is_in_the_way_and_whether_it_can_be_ordered() -> None:
    told = {
        "expected_power_w": 4e5,
        "low_power_w": 3e5,
        "sessions": 1,
        "committed_power_w": 3e5,
        "low_energy_wh": 5e4,
        "shortfall_power_w": 1e5,
    }
    answer: dict[str, Any] = {"dispatch": {"feasibility": told | {"limits": ["limit 9 kW of feeder north binds"]}}}
    answer |= {"held_back": ["1 car: the driver stopped the discharge"], "displaced": [{"dispatch_id": "d-1"}], "obstacle": None}
    assert preview_words(answer) == [
        "Feasible: 400.0 kW expected, 300.0 kW at the low end, from 1 session.",
        "Committed would be 300.0 kW and 50.00 kWh.",
        "100.0 kW of the order cannot be promised.",
        "Of the grid: limit 9 kW of feeder north binds.",
        "Of drivers: 1 car: the driver stopped the discharge.",
        "Dispatch d-1 gives way to it.",
    ]
    assert obstacle_words(answer) == ""
    assert obstacle_words(answer | {"obstacle": {"sentence": "It is held.", "remedy": "Amend it."}}) == "It is held. Amend it."


def test_a_line_says_once_what_it_is() -> None:
    assert said("state", "running") == "state: running"
    assert said("accepted", "accepted from ann") == "accepted from ann"
    assert said("stream", "") == "stream"


def test_instants_in_sentences_are_written_as_everywhere() -> None:
    sentence = "At 2026-11-22T12:00:05Z it was asked, since 2026-11-21T23:59:00.250Z."
    assert with_clocks(sentence, NOON_S) == "At 12:00:05 UTC it was asked, since 21 Nov 23:59 UTC."


@pytest.mark.parametrize(("bytes_", "words"), [(12, "12 B"), (48_200, "48.2 kB"), (3_210_000, "3.21 MB"), (412_000_000_000, "412 GB")])
def test_sizes_in_words(bytes_: int, words: str) -> None:
    assert size(bytes_) == words
