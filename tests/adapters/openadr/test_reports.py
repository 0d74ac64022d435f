"""Which value stands in a report, in which unit and sign, and what is said of one that is unknown."""

from typing import Any

import pytest
from msgspec.structs import replace

from counterflow.adapters.openadr.models import AGGREGATED, IntervalPeriod, Report, ReportDescriptor
from counterflow.adapters.openadr.report_figures import SpanFigures, operating_state, planned_power_w, seen_by_telemetry, settled
from counterflow.adapters.openadr.report_plan import DueReport
from counterflow.adapters.openadr.reports import PAYLOADS, Author, cannot_tell, needs_offers, report_of
from counterflow.adapters.openadr.timeline import Span
from counterflow.adapters.openadr.writing import write_object
from counterflow.domain.grid import GridOrder, GridOrderRecord, GridOutcome, GridStep, GridUnit, PoolTelemetry, Program, Sign, Wire
from counterflow.domain.ids import PoolId
from counterflow.domain.offers import Offer, OfferGrounds, OfferLevel
from counterflow.domain.settlement import IntervalFigures, Quality

T0 = 1_000_000.0
QUARTER = 900.0


def program(sign: Sign = Sign.LOAD, unit: GridUnit = GridUnit.KW) -> Program:
    return Program(name="v2g", wire=Wire.OPENADR, max_discharge_power_w=5e6, sign=sign, unit=unit)


def author(**changes: Any) -> Author:
    return Author(**{"event_id": "e", "program_id": "p", "client_name": "v2g", "program": program(), **changes})


def figures(number: int = 0, **changes: Any) -> SpanFigures:
    values: dict[str, Any] = {
        "from_s": T0 + number * QUARTER,
        "to_s": T0 + (number + 1) * QUARTER,
        "interval_id": number,
        "mean_power_w": 2_000_000.0,
        "peak_power_w": 2_100_000.0,
        "energy_wh": 500_000.0,
        "baseline_wh": -25_000.0,
        "delivered_wh": 525_000.0,
        "target_power_w": 2_050_000.0,
        "state": "RUNNING_CURTAILED",
        "quality": Quality.GOOD,
        "version": 1,
        **changes,
    }
    return SpanFigures(**values)


def due(*wishes: ReportDescriptor, spans: int = 1) -> DueReport:
    return DueReport("disp/0.0", T0 + QUARTER, tuple(Span(T0 + n * QUARTER, T0 + (n + 1) * QUARTER, n) for n in range(spans)), wishes)


def wish(payload_type: str, **fields: Any) -> ReportDescriptor:
    return ReportDescriptor(payload_type=payload_type, **fields)


def offer(**powers: float) -> Offer:
    levels = tuple(
        OfferLevel(confidence=level, power_w=power_w, energy_wh=power_w / 4, deliverable_energy_wh=power_w / 2)
        for level, power_w in ((0.5, 3e6), (0.9, 2e6), (0.95, 1.8e6), (0.99, 1.5e6))
    )
    grounds = OfferGrounds(
        sessions=1, sessions_ready=1, sessions_counted=1, leaving_expected=0.0, rated_power_w=1.0, limited_power_w=1.0,
        responding_power_w=1.0, lasting_power_w=1.0, median_power_w=1.0, independent_power_w=1.0, against_power_w=0.0,
        shock_spread_frac=0.0, departures_learned=0.0,
    )  # fmt: skip
    return Offer(
        offer_id="", made_at_s=T0, valid_until_s=T0, pool=PoolId("all"), start_s=T0, window_s=QUARTER, confidence=0.9, method="quantile",
        scenarios=1000, power_w=2e6, energy_wh=5e5, model_power_w=2e6, guard_factor=1.0, committable_power_w=2e6, reserved_power_w=0.0,
        levels=levels, grounds=grounds,
    )  # fmt: skip


def telemetry(at_s: float, measured_w: float | None, **changes: Any) -> PoolTelemetry:
    values: dict[str, Any] = {
        "sequence": int(at_s), "at_s": at_s, "pool": PoolId("all"), "measured_power_w": measured_w, "baseline_power_w": 0.0,
        "target_power_w": None, "delivered_power_w": measured_w, "committed_power_w": None, "up_power_w": 700_000.0, "up_energy_wh": None,
        "down_power_w": 400_000.0, "ramp_w_per_s": None, "sessions": 3, "sessions_ready": 3, "unmeasured_sessions": 0, "meter_age_s": 1.0,
        "quality": Quality.GOOD, "available": True, "following": False, "fault": False, **changes,
    }  # fmt: skip
    return PoolTelemetry(**values)


def values(report: Report | None) -> list[dict[str, Any]]:
    assert report is not None
    write_object(report)  # it may be sent
    return [{one.type: one.values[0] for one in interval.payloads} for interval in report.resources[0].intervals]


def units(report: Report | None) -> dict[str, str | None]:
    assert report is not None
    return {one.payload_type: one.units for one in report.payload_descriptors}


ALL_MEASURED = (wish("DEMAND"), wish("USAGE"), wish("DELTA_USAGE"), wish("BASELINE"), wish("SETPOINT"), wish("OPERATING_STATE"))


def test_in_the_load_convention_what_is_exported_is_negative() -> None:
    report = report_of(due(*ALL_MEASURED), [figures()], author())
    assert values(report) == [
        {"DEMAND": -2000.0, "USAGE": -500.0, "DELTA_USAGE": -525.0, "BASELINE": 100.0, "SETPOINT": -2050.0,
         "OPERATING_STATE": "RUNNING_CURTAILED"}
    ]  # fmt: skip
    assert units(report) == {
        "DEMAND": "KW",
        "USAGE": "KWH",
        "DELTA_USAGE": "KWH",
        "BASELINE": "KW",
        "SETPOINT": "KW",
        "OPERATING_STATE": None,
    }


def test_in_the_generator_convention_and_in_mw_it_is_positive() -> None:
    report = report_of(due(*ALL_MEASURED[:5]), [figures()], author(program=program(Sign.GENERATOR, GridUnit.MW)))
    assert values(report) == [{"DEMAND": 2.0, "USAGE": 0.5, "DELTA_USAGE": 0.525, "BASELINE": -0.1, "SETPOINT": 2.05}]
    assert units(report)["USAGE"] == "MWH"


def test_the_unit_that_is_asked_for_is_used_and_another_kind_is_answered_in_the_programs() -> None:
    wishes = (wish("DEMAND", units="W"), wish("USAGE", units="kwh"), wish("SETPOINT", units="VOLTS"), wish("BASELINE", units="KWH"))
    report = report_of(due(*wishes), [figures()], author())
    assert values(report) == [{"DEMAND": -2e6, "USAGE": -500.0, "SETPOINT": -2050.0, "BASELINE": 25.0}]
    assert units(report) == {"DEMAND": "W", "USAGE": "KWH", "SETPOINT": "KW", "BASELINE": "KWH"}


def test_what_is_unknown_is_left_out_and_said_to_be_missing() -> None:
    unknown = figures(1, mean_power_w=None, energy_wh=None, target_power_w=None, quality=Quality.MISSING)
    report = report_of(due(wish("DEMAND"), wish("USAGE"), spans=2), [figures(), unknown], author())
    assert values(report) == [{"DEMAND": -2000.0, "USAGE": -500.0}, {"DATA_QUALITY": "MISSING"}]
    assert "DATA_QUALITY" in units(report)
    assert report_of(due(wish("DEMAND")), [unknown], author()) is None
    assert values(report_of(due(wish("DEMAND"), wish("DATA_QUALITY")), [unknown], author())) == [{"DATA_QUALITY": "MISSING"}]


def test_a_storage_to_come_is_told_at_each_confidence_and_one_that_was_without_any() -> None:
    offered = offer()
    levels = [
        replace(one, charge_level_frac=1.0 - one.confidence / 2, max_charge_power_w=1e6 * (1 - one.confidence)) for one in offered.levels
    ]
    to_come = figures(
        offer=replace(offered, levels=tuple(levels)), at_end=telemetry(T0, 1.0, stored_energy_wh=1.0, storage_capacity_wh=1.0)
    )
    asked = due(wish("STORAGE_CHARGE_LEVEL", historical=False), wish("STORAGE_MAX_CHARGE_POWER", units="KW", historical=False))
    assert needs_offers(asked)
    assert report_of(asked, [to_come], author()) is None
    report = report_of(asked, [to_come], author(charge_level_in_percent=True), 0.9)
    assert values(report) == [{"STORAGE_CHARGE_LEVEL": 55.0, "STORAGE_MAX_CHARGE_POWER": 100.0}]
    assert report is not None
    assert [(one.reading_type, one.confidence) for one in report.payload_descriptors] == [("FORECAST", 90)] * 2
    doubtful = replace(offered, levels=tuple(replace(one, storage_unknown_sessions=2) for one in levels))
    report = report_of(asked, [replace(to_come, offer=doubtful)], author(), 0.9)
    assert values(report) == [{"STORAGE_CHARGE_LEVEL": 0.55, "STORAGE_MAX_CHARGE_POWER": 100.0, "DATA_QUALITY": "ESTIMATED"}]
    was = due(wish("STORAGE_CHARGE_LEVEL"), wish("STORAGE_MAX_CHARGE_POWER"))
    assert not needs_offers(was)
    seen = telemetry(T0, 1.0, stored_energy_wh=1.0, storage_capacity_wh=4.0, max_charge_power_w=2e3, storage_quality=Quality.GOOD)
    report = report_of(was, [figures(at_end=seen)], author())
    assert values(report) == [{"STORAGE_CHARGE_LEVEL": 0.25, "STORAGE_MAX_CHARGE_POWER": 2.0}]
    assert report is not None
    assert {one.confidence for one in report.payload_descriptors} == {None}
    not_told = report_of(asked, [figures(offer=offered)], author(), 0.9)
    assert not_told is None


def test_data_quality_is_told_wherever_it_is_asked_for() -> None:
    good, unknown = figures(), figures(1, mean_power_w=None, energy_wh=None, target_power_w=None, quality=Quality.MISSING)
    alone = due(wish("DATA_QUALITY"), spans=2)
    assert values(report_of(alone, [good, unknown], author())) == [{"DATA_QUALITY": "OK"}, {"DATA_QUALITY": "MISSING"}]
    state = due(wish("OPERATING_STATE"), wish("DATA_QUALITY"))
    assert values(report_of(state, [good], author())) == [{"OPERATING_STATE": "RUNNING_CURTAILED", "DATA_QUALITY": "OK"}]
    firm = due(wish("GENERATION_DELTA_AVAILABLE", historical=False), wish("DATA_QUALITY"))
    assert report_of(firm, [figures(offer=offer())], author()) is None, "the reports of each confidence say it"
    assert values(report_of(firm, [figures(offer=offer())], author(), 0.9)) == [
        {"GENERATION_DELTA_AVAILABLE": 2000.0, "DATA_QUALITY": "OK"}
    ]
    assert values(report_of(firm, [figures()], author(), 0.9)) == [{"DATA_QUALITY": "MISSING"}]
    volts = due(wish("READING", units="VOLTS"), wish("DATA_QUALITY"))
    assert report_of(volts, [good], author()) is None, "what is not told at all is of no quality"


@pytest.mark.parametrize(
    ("quality", "told"),
    [(Quality.GOOD, "OK"), (Quality.ESTIMATED, "ESTIMATED"), (Quality.STALE, "ESTIMATED"), (Quality.MISSING, "BAD")],
)
def test_quality_of_what_is_known(quality: Quality, told: str) -> None:
    asked = report_of(due(wish("USAGE"), wish("DATA_QUALITY")), [figures(quality=quality)], author())
    assert values(asked)[0]["DATA_QUALITY"] == told
    not_asked = report_of(due(wish("USAGE")), [figures(quality=quality)], author())
    assert values(not_asked)[0].get("DATA_QUALITY", "OK") == told


def test_reading_types_and_accuracy_are_declared() -> None:
    report = report_of(due(wish("DEMAND"), wish("USAGE"), spans=1), [figures()], author(meter_accuracy_frac=0.01))
    assert report is not None
    demand, usage = report.payload_descriptors
    assert (demand.reading_type, demand.accuracy, demand.confidence) == ("MEAN", 20.0, None)
    assert (usage.reading_type, usage.accuracy) == ("SUMMED", 5.0)
    peak = report_of(due(wish("DEMAND", reading_type="PEAK")), [figures()], author())
    assert (values(peak), peak.payload_descriptors[0].reading_type if peak else "") == ([{"DEMAND": -2100.0}], "PEAK")


def test_p50_p90_and_p99_stand_in_reports_of_their_own() -> None:
    kinds = ("GENERATION_DELTA_AVAILABLE", "UP_REGULATION_AVAILABLE", "STORAGE_USABLE_CAPACITY", "STORAGE_MAX_DISCHARGE_POWER",
             "STORAGE_DISPATCH_FORECAST")  # fmt: skip
    asked = due(*(wish(kind, historical=False) for kind in kinds))
    assert needs_offers(asked)
    told = [SpanFigures(from_s=T0, to_s=T0 + QUARTER, interval_id=0, offer=offer())]
    for confidence, power_kw in ((0.5, 3000.0), (0.9, 2000.0), (0.99, 1500.0)):
        report = report_of(asked, told, author(), confidence)
        assert report is not None
        assert report.report_name == f"disp/0.0/P{round(confidence * 100)}"
        assert {one.confidence for one in report.payload_descriptors} == {round(confidence * 100)}
        assert {one.reading_type for one in report.payload_descriptors} == {"FORECAST"}
        assert values(report) == [
            {kind: power_kw / 2 if kind in ("STORAGE_USABLE_CAPACITY", "STORAGE_DISPATCH_FORECAST") else power_kw for kind in kinds}
        ]
    assert report_of(asked, told, author()) is None
    assert report_of(asked, told, author(), 0.42) is None
    # For a program that counts from what cars would have drawn, upward is more than generation.
    upward = [replace(told[0], upward=replace(offer(), levels=tuple(replace(one, power_w=5e6) for one in offer().levels)))]
    [both] = values(report_of(asked, upward, author(), 0.9))
    assert (both["GENERATION_DELTA_AVAILABLE"], both["UP_REGULATION_AVAILABLE"]) == (2000.0, 5000.0)


def test_what_is_there_now_is_told_of_the_interval_around_now() -> None:
    asked = due(wish("LOAD_SHED_DELTA_AVAILABLE", historical=False), wish("DOWN_REGULATION_AVAILABLE", historical=False), spans=2)
    charging = telemetry(T0 + 5, -300_000.0)
    told = [
        SpanFigures(from_s=T0, to_s=T0 + QUARTER, interval_id=0, live=charging),
        SpanFigures(from_s=T0 + QUARTER, to_s=T0 + 2 * QUARTER, interval_id=1),
    ]
    report = report_of(asked, told, author())
    assert values(report) == [
        {"LOAD_SHED_DELTA_AVAILABLE": 300.0, "DOWN_REGULATION_AVAILABLE": 400.0},
        {"DATA_QUALITY": "MISSING"},
    ]


def test_a_forecast_of_demand_is_what_is_ordered() -> None:
    told = [figures(mean_power_w=None, energy_wh=None, target_power_w=1_000_000.0)]
    report = report_of(due(wish("DEMAND", historical=False), wish("USAGE", historical=False)), told, author())
    assert values(report) == [{"DEMAND": -1000.0, "USAGE": -250.0}]


def test_intervals_follow_from_the_first_period_unless_they_do_not() -> None:
    even = report_of(due(wish("USAGE"), spans=2), [figures(0), figures(1)], author())
    assert even is not None
    assert even.resources[0].interval_period == IntervalPeriod(start_s=T0, duration_s=QUARTER)
    assert [one.interval_period for one in even.resources[0].intervals] == [None, None]
    short = report_of(due(wish("USAGE"), spans=2), [figures(0), figures(1, to_s=T0 + 1000.0)], author())
    assert short is not None
    assert short.resources[0].intervals[1].interval_period == IntervalPeriod(start_s=T0 + QUARTER, duration_s=100.0)


def test_the_pool_is_named_where_no_aggregate_is_asked_for() -> None:
    one = report_of(due(wish("USAGE")), [figures()], author(resource_name="depot"))
    assert one is not None
    assert one.resources[0].resource_name == "depot"
    aggregate = report_of(due(wish("USAGE", aggregate=True)), [figures()], author(resource_name="depot"))
    assert aggregate is not None
    assert aggregate.resources[0].resource_name == AGGREGATED


def stored(**changes: Any) -> PoolTelemetry:
    known: dict[str, Any] = {
        "storage_at_s": T0 + 890.0, "stored_energy_wh": 33e3, "storage_capacity_wh": 100e3, "max_charge_power_w": 44_000.0,
        "storage_unknown_sessions": 0, "storage_quality": Quality.GOOD,
    }  # fmt: skip
    return telemetry(T0 + 899.0, -2e6, **known | changes)


STORAGE_WISHES = (wish("STORAGE_CHARGE_LEVEL"), wish("STORAGE_MAX_CHARGE_POWER", units="W"))


@pytest.mark.parametrize(("percent", "level"), [(False, 0.33), (True, 33.0)])
def test_a_pool_tells_how_full_it_is_and_what_it_could_take(percent: bool, level: float) -> None:
    report = report_of(due(*STORAGE_WISHES), [figures(at_end=stored())], author(charge_level_in_percent=percent))
    assert values(report) == [{"STORAGE_CHARGE_LEVEL": level, "STORAGE_MAX_CHARGE_POWER": 44_000.0}]
    assert units(report) == {"STORAGE_CHARGE_LEVEL": "PERCENT", "STORAGE_MAX_CHARGE_POWER": "W"}
    assert report is not None
    assert [(one.reading_type, one.confidence, one.accuracy) for one in report.payload_descriptors] == [("ESTIMATED", None, None)] * 2


def test_states_of_charge_of_which_some_are_unknown_are_an_estimate_and_all_unknown_is_missing() -> None:
    some = report_of(due(*STORAGE_WISHES), [figures(at_end=stored(storage_quality=Quality.ESTIMATED))], author())
    assert values(some)[0]["DATA_QUALITY"] == "ESTIMATED"
    none = stored(stored_energy_wh=None, storage_capacity_wh=None, max_charge_power_w=None, storage_quality=Quality.MISSING)
    assert report_of(due(*STORAGE_WISHES), [figures(at_end=none)], author()) is None
    beside = report_of(due(*STORAGE_WISHES, spans=2), [figures(at_end=stored()), figures(1, at_end=none)], author())
    assert values(beside)[1] == {"DATA_QUALITY": "MISSING"}
    empty = stored(stored_energy_wh=0.0, storage_capacity_wh=0.0, max_charge_power_w=0.0)
    assert values(report_of(due(*STORAGE_WISHES), [figures(at_end=empty)], author())) == [
        {"STORAGE_MAX_CHARGE_POWER": 0.0, "DATA_QUALITY": "OK"}
    ]


def test_what_we_cannot_tell_is_named() -> None:
    asked = (wish("READING", units="VOLTS"), wish("CURVE"), wish("USAGE"), wish("X_PRIVATE"))
    assert cannot_tell(asked) == ["CURVE", "READING", "X_PRIVATE"]
    assert values(report_of(due(*asked), [figures()], author())) == [{"USAGE": -500.0}]
    assert "DEMAND" in PAYLOADS


def interval_figures(**changes: Any) -> IntervalFigures:
    known: dict[str, Any] = {
        "start_s": T0, "duration_s": QUARTER, "mean_power_w": 1000.0, "energy_wh": 250.0, "baseline_wh": 50.0, "delivered_wh": 200.0,
        "target_power_w": 1100.0, "quality": Quality.GOOD, "version": 2, **changes,
    }  # fmt: skip
    return IntervalFigures(**known)


def test_dispatches_of_one_event_are_told_together() -> None:
    seen = seen_by_telemetry(T0, T0 + QUARTER, 7, [telemetry(T0 + n, 1500.0, target_power_w=1.0) for n in range(0, 900, 30)])
    one = settled(T0, T0 + QUARTER, 7, [interval_figures(), interval_figures(quality=Quality.ESTIMATED)], seen)
    assert (one.energy_wh, one.mean_power_w, one.baseline_wh, one.delivered_wh, one.target_power_w) == (500.0, 2000.0, 100.0, 400.0, 2200.0)
    assert (one.quality, one.version, one.peak_power_w, one.state) == (Quality.ESTIMATED, 4, 1500.0, "RUNNING_CURTAILED")
    unheard = settled(T0, T0 + QUARTER, 7, [interval_figures(), interval_figures(mean_power_w=None, quality=Quality.MISSING)], seen)
    assert (unheard.energy_wh, unheard.mean_power_w, unheard.quality) == (500.0, None, Quality.MISSING)


@pytest.mark.parametrize(
    ("energy_wh", "quality", "told"),
    [
        (250.0, Quality.ESTIMATED, {"USAGE": -0.25, "DATA_QUALITY": "ESTIMATED"}),
        (250.0, Quality.MISSING, {"USAGE": -0.25, "DATA_QUALITY": "BAD"}),
        (0.0, Quality.ESTIMATED, {"USAGE": 0.0, "DATA_QUALITY": "ESTIMATED"}),
        (0.0, Quality.MISSING, {"DATA_QUALITY": "MISSING"}),
    ],
)
def test_energy_that_registers_count_is_told_where_power_was_not_heard_so_that_reports_add_up_to_the_settlement(
    energy_wh: float, quality: Quality, told: dict[str, Any]
) -> None:
    """The program in the load convention; the mean power is unknown in all four."""
    by_register = interval_figures(mean_power_w=None, energy_wh=energy_wh, quality=quality)
    one = settled(T0, T0 + QUARTER, 7, [by_register], seen_by_telemetry(T0, T0 + QUARTER, 7, []))
    assert values(report_of(due(wish("DEMAND"), wish("USAGE"), wish("SETPOINT")), [one], author()))[0] == {"SETPOINT": -1.1, **told} | (
        {"DATA_QUALITY": "BAD"} if energy_wh == 0.0 and quality is Quality.MISSING else {}
    )
    assert values(report_of(due(wish("USAGE"), wish("DEMAND"), spans=2), [figures(), one], author()))[1] == told


def test_telemetry_tells_a_mean_where_it_covers_enough() -> None:
    halves = [telemetry(T0 + n, 1000.0 if n < 450 else 3000.0) for n in range(0, 900, 10)]
    whole = seen_by_telemetry(T0, T0 + QUARTER, 0, halves)
    assert (whole.mean_power_w, whole.peak_power_w, whole.energy_wh, whole.quality) == (2000.0, 3000.0, 500.0, Quality.ESTIMATED)
    assert (whole.target_power_w, whole.delivered_wh, whole.version) == (None, 500.0, 0)
    for records in ([], halves[:30], [telemetry(T0 + n, None) for n in range(0, 900, 10)]):
        little = seen_by_telemetry(T0, T0 + QUARTER, 0, records)
        assert (little.mean_power_w, little.energy_wh, little.quality) == (None, None, Quality.MISSING)


@pytest.mark.parametrize(
    ("changes", "refused", "state"),
    [
        ({}, False, "RUNNING_NORMAL"),
        ({"measured_power_w": 5.0}, False, "IDLE_NORMAL"),
        ({"target_power_w": 1e3}, False, "RUNNING_CURTAILED"),
        ({"target_power_w": 1e3, "measured_power_w": 0.0}, False, "IDLE_CURTAILED"),
        ({}, True, "RUNNING_OPTED_OUT"),
        ({"measured_power_w": 0.0}, True, "IDLE_OPTED_OUT"),
        ({"fault": True}, False, "ERROR"),
        ({"available": False}, True, "ERROR"),
        ({"measured_power_w": None}, False, "NORMAL"),
        ({"measured_power_w": None, "target_power_w": 1.0}, False, "ERROR"),
    ],
)
def test_operating_states(changes: dict[str, Any], refused: bool, state: str) -> None:
    base = telemetry(T0, 1000.0)
    assert operating_state(replace(base, **changes), None, refused=refused) == state


def test_what_is_planned_is_known_where_orders_cover_an_interval() -> None:
    order = GridOrder(
        program="v2g",
        key="e",
        steps=(GridStep(from_s=T0, discharge_power_w=1000.0), GridStep(from_s=T0 + 450, discharge_power_w=2000.0)),
        end_s=T0 + QUARTER,
    )
    record = GridOrderRecord(order=order, revision=1, heard_at_s=T0, outcome=GridOutcome.ACCEPTED)
    assert planned_power_w([record], T0, T0 + QUARTER) == 1500.0
    assert planned_power_w([record], T0, T0 + QUARTER + 1) is None
    assert planned_power_w([replace(record, outcome=GridOutcome.REFUSED)], T0, T0 + QUARTER) is None
