"""Events of OpenADR 2.0b as orders. Each goes through the real XML, as `openleadr` writes and reads it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from openleadr.messaging import create_message, parse_message

from counterflow.adapters.openadr2.reading import OPEN_END_S, UnfitError, head_of, order_of, program_of
from counterflow.domain.grid import GridStep, GridUnit, Program, Sign, Wire
from counterflow.domain.instructions import DispatchMode

START = datetime(2026, 11, 26, 17, 0, tzinfo=UTC)
START_S = START.timestamp()
MARKET = "http://market.example/dr"
PROGRAM = Program(name="dr", wire=Wire.OPENADR2, external_id=MARKET, sign=Sign.LOAD, max_discharge_power_w=1e6)
KILOWATT = {
    "name": "powerReal", "ns": "power", "description": "RealPower", "unit": "W", "scale": "k",
    "power_attributes": {"hertz": 50, "voltage": 230, "ac": True},
}  # fmt: skip
TABLE = (0.0, 0.25, 0.5, 1.0)


def signal(
    *intervals: tuple[float, float], name: str = "LOAD_DISPATCH", kind: str = "setpoint", measurement: Any = KILOWATT
) -> dict[str, Any]:
    """Intervals of (minutes, value)."""
    made = [{"duration": timedelta(minutes=minutes), "signal_payload": value} for minutes, value in intervals]
    return {"intervals": made, "signal_name": name, "signal_type": kind, "signal_id": "s", "measurement": measurement}


def event(*signals: dict[str, Any], minutes: float = 60.0, startafter: timedelta | None = None, **descriptor: Any) -> dict[str, Any]:
    """As a VTN writes it and `openleadr` reads it."""
    head = {
        "event_id": "e-1", "modification_number": 0, "market_context": MARKET, "event_status": "far", "priority": 1,
        "created_date_time": START, "modification_date_time": START,
    }  # fmt: skip
    whole = sum((interval["duration"] for interval in signals[0]["intervals"]), timedelta())  # `openleadr` sends no other duration
    period: dict[str, Any] = {"dtstart": START, "duration": whole}
    if startafter is not None:
        period["tolerance"] = {"startafter": startafter}
    made = {
        "event_descriptor": head | descriptor, "active_period": period, "event_signals": list(signals),
        "targets": [{"ven_id": "v"}], "targets_by_type": {"ven_id": ["v"]}, "response_required": "always",
    }  # fmt: skip
    ok = {"response_code": 200, "response_description": "OK", "request_id": "r"}
    _, payload = parse_message(create_message("oadrDistributeEvent", vtn_id="VTN", request_id="r", events=[made], response=ok))
    found: dict[str, Any] = payload["events"][0]
    found["active_period"]["duration"] = timedelta(minutes=minutes)
    return found


def order(*signals: dict[str, Any], program: Program = PROGRAM, table: tuple[float, ...] = TABLE, **changes: Any) -> Any:
    return order_of(event(*signals, **changes), program, table, "ven-1")


def test_load_dispatch_setpoints_are_steps_in_the_sign_and_scale_that_are_told() -> None:
    made = order(signal((30, -250.0), (30, -100.0)), vtn_comment="feeder 7")
    assert made.steps == (
        GridStep(from_s=START_S, discharge_power_w=250_000.0),
        GridStep(from_s=START_S + 1_800.0, discharge_power_w=100_000.0),
    )
    assert (made.program, made.key, made.end_s, made.mode, made.note) == ("dr", "e-1", START_S + 3_600.0, None, "feeder 7")
    exporting = order(signal((60, 250.0)), program=replace(PROGRAM, sign=Sign.GENERATOR))
    assert exporting.steps[0].discharge_power_w == 250_000.0
    assert order(signal((60, 100.0))).steps[0].discharge_power_w == -100_000.0, "consumption is left to the bounds to refuse"


def test_a_delta_is_relative_to_the_baseline() -> None:
    made = order(signal((60, -50.0), kind="delta"))
    assert (made.mode, made.steps[0].discharge_power_w) == (DispatchMode.RELATIVE, 50_000.0)


def test_without_a_measurement_the_program_says_the_unit_and_nobody_guesses() -> None:
    made = order(signal((60, -0.5), measurement=None), program=replace(PROGRAM, unit=GridUnit.MW))
    assert made.steps[0].discharge_power_w == 500_000.0
    with pytest.raises(UnfitError, match="does not say its unit, and neither does the program 'dr'"):
        order(signal((60, -0.5), measurement=None))
    with pytest.raises(UnfitError, match="is in 'k VA'; real power in W"):
        order(signal((60, -0.5), measurement={**KILOWATT, "name": "powerApparent", "description": "ApparentPower", "unit": "VA"}))


def test_simple_levels_mean_what_the_table_says() -> None:
    made = order(signal((20, 1), (20, 3), (20, 0), name="SIMPLE", kind="level", measurement=None))
    assert [step.discharge_power_w for step in made.steps] == [250_000.0, 1e6, 0.0]
    with pytest.raises(UnfitError, match="what they mean is not agreed"):
        order(signal((60, 1), name="SIMPLE", kind="level", measurement=None), table=())
    for wrong in (4, -1, 1.5):
        found = event(signal((60, 1), name="SIMPLE", kind="level", measurement=None))
        found["event_signals"][0]["intervals"][0]["signal_payload"] = wrong
        with pytest.raises(UnfitError, match=f"SIMPLE level {wrong}; there are 0 to 3"):
            order_of(found, PROGRAM, TABLE, "ven-1")


def test_load_dispatch_wins_over_simple_beside_it() -> None:
    made = order(signal((60, 3), name="SIMPLE", kind="level", measurement=None), signal((60, -40.0)))
    assert made.steps[0].discharge_power_w == 40_000.0


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (signal((60, 80.0), name="CHARGE_STATE", measurement=None), "Whether the pool can reach it is known only when the interval begins"),
        (signal((60, 2.0), kind="multiplier"), "LOAD_DISPATCH as 'multiplier'"),
        (signal((60, 2.0), kind="level", measurement=None), "LOAD_DISPATCH as 'level'"),
        (
            signal((60, 0.3), name="ELECTRICITY_PRICE", kind="price", measurement=None),
            "the signals ELECTRICITY_PRICE; LOAD_DISPATCH and SIMPLE",
        ),
    ],
)
def test_other_signals_are_refused_by_a_sentence(refused: dict[str, Any], words: str) -> None:
    with pytest.raises(UnfitError, match=words):
        order(refused)


def test_intervals_are_cut_to_the_active_period_and_what_they_leave_is_zero() -> None:
    assert order(signal((90, -250.0), (30, -100.0))).steps == (GridStep(from_s=START_S, discharge_power_w=250_000.0),)
    short = order(signal((10, -250.0)))
    assert short.steps[-1] == GridStep(from_s=START_S + 600.0, discharge_power_w=0.0)
    until_the_end = order(signal((10, -250.0), (0, -100.0)))
    assert [(step.from_s - START_S, step.discharge_power_w) for step in until_the_end.steps] == [(0.0, 250_000.0), (600.0, 100_000.0)]


def test_an_active_period_of_no_length_has_no_end() -> None:
    made = order(signal((0, -250.0)), minutes=0.0)
    assert (made.end_s, len(made.steps)) == (START_S + OPEN_END_S, 1)


def test_a_random_start_is_within_its_tolerance_and_the_same_each_time() -> None:
    shifts = []
    for number in range(40):
        made = order(signal((60, -250.0)), startafter=timedelta(minutes=10), event_id=f"e-{number}")
        again = order(signal((60, -250.0)), startafter=timedelta(minutes=10), event_id=f"e-{number}")
        assert made == again
        assert made.end_s - made.steps[0].from_s == 3_600.0, "it is moved as a whole"
        shifts.append(made.steps[0].from_s - START_S)
    assert 0.0 <= min(shifts) < 120.0 < 480.0 < max(shifts) <= 600.0


def test_ids_of_digits_are_texts_and_tests_are_known_as_such() -> None:
    head = head_of(event(signal((60, -1.0)), event_id="4711", test_event=True))
    assert (head.key, head.is_test, head.market_context) == ("4711", True, MARKET)
    assert not head_of(event(signal((60, -1.0)))).is_test
    assert not head_of(event(signal((60, -1.0)), test_event=False)).is_test


def test_the_market_context_says_whose_event_it_is() -> None:
    other = replace(PROGRAM, name="other", external_id="http://market.example/other")
    assert program_of(head_of(event(signal((60, -1.0)))), [other, PROGRAM]).name == "dr"
    with pytest.raises(UnfitError, match=r"of the market context 'http://market\.example/dr', and no"):
        program_of(head_of(event(signal((60, -1.0)))), [other])


def without(*path: str) -> Callable[[dict[str, Any]], None]:
    def strip(found: dict[str, Any]) -> None:
        for name in path[:-1]:
            found = found[name]
        found.pop(path[-1], None)

    return strip


def valued(value: Any) -> Callable[[dict[str, Any]], None]:
    def put(found: dict[str, Any]) -> None:
        found["event_signals"][0]["intervals"][0]["signal_payload"] = value

    return put


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (without("event_descriptor"), "has no id"),
        (without("event_signals"), "has no signal"),
        (without("active_period"), "does not say when it starts"),
        (without("active_period", "duration"), "does not say how long it lasts"),
        (lambda found: found["active_period"].update(duration=timedelta(-1)), "does not say how long it lasts"),
        (lambda found: found["active_period"].update(dtstart="yesterday"), "does not say when it starts"),
        (lambda found: found["event_signals"][0].update(intervals=[]), "has no interval"),
        (valued(None), "an interval without a number"),
        (valued(float("nan")), "an interval without a number"),
        (valued({"payload_boolean": {"value": True}}), "an interval without a number"),
    ],
)
def test_what_is_missing_or_no_number_is_said(harm: Callable[[dict[str, Any]], None], words: str) -> None:
    found = event(signal((60, -1.0)))
    harm(found)
    with pytest.raises(UnfitError, match=words):
        order_of(found, PROGRAM, TABLE, "ven-1")
