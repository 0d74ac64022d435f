"""A model that is said to discharge on a negative limit: its meter proves it, or the station is held out."""

from typing import Any

import msgspec
import pytest

from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.app.config import Settings
from counterflow.app.control_room import ControlRoom
from counterflow.app.dispatching.first_use import FirstUse
from counterflow.domain.commands import ClearProfile, PlaceDischarge
from counterflow.domain.ids import EvseId, ProfileId, SessionUid, StationId, TransactionId
from counterflow.domain.records import DocumentKind
from counterflow.domain.resources import ControlMode
from counterflow.domain.setpoints import Accepted, TimedOut
from counterflow.domain.telemetry import CommandCompleted, EventKind, EvseMeasured, Measurement, TransactionReported

NOW_S = 1_795_348_800.0
ORDER = PlaceDischarge(
    station_id=StationId("S1"),
    evse_id=EvseId(1),
    transaction_id=TransactionId("7"),
    session_uid=SessionUid(3),
    profile_id=ProfileId(1_000_000),
    stack_level=2,
    power_w=-5000.0,
    start_s=NOW_S,
    discharge_until_s=NOW_S + 900,
    hold_until_s=NOW_S + 960,
    control_mode=ControlMode.NEGATIVE_LIMIT,
)


def reading(after_s: float, power_w: float, **other: Any) -> TransactionReported:
    fields: dict[str, Any] = {"station_id": StationId("S1"), "transaction_id": TransactionId("7")} | other
    at_s = NOW_S + after_s
    return TransactionReported(
        **fields,
        kind=EventKind.UPDATED,
        at_s=at_s,
        received_s=at_s,
        trigger="MeterValuePeriodic",
        seq_no=1,
        measurements=(Measurement(at_s, power_w),),
    )


def on_trial(order: PlaceDischarge = ORDER) -> FirstUse:
    trials = FirstUse(90.0)
    trials.placed(order, Accepted(), NOW_S)
    return trials


@pytest.mark.parametrize(
    ("power_w", "seen"), [(11_000.0, "11000 W of charging"), (0.0, "0 W of discharge"), (-400.0, "400 W of discharge")]
)
def test_what_the_meter_does_not_show_in_time_is_disproved(power_w: float, seen: str) -> None:
    trials = on_trial()
    assert trials.measured(reading(89, power_w)) is None
    said = trials.measured(reading(90, power_w))
    assert said is not None
    assert said.endswith(seen)
    assert not trials.trials


def test_what_the_meter_shows_is_proved_and_not_asked_again() -> None:
    trials = on_trial()
    assert trials.measured(reading(20, -4800.0)) is None
    assert not trials.trials


def test_the_values_of_others_old_ones_and_unknown_power_say_nothing() -> None:
    trials = on_trial()
    for other in (
        reading(100, 9000.0, station_id=StationId("S2")),
        reading(100, 9000.0, transaction_id=TransactionId("8")),
        reading(100, 9000.0, offline=True),
        reading(100, float("nan")),
    ):
        assert trials.measured(other) is None
    assert trials.trials
    aligned = EvseMeasured(station_id=StationId("S1"), evse_id=EvseId(1), received_s=NOW_S, measurements=(Measurement(NOW_S + 100, 9.0),))
    assert trials.measured(aligned) is not None


def test_a_start_to_come_is_waited_for_and_an_end_ends_the_trial() -> None:
    trials = on_trial(msgspec.structs.replace(ORDER, start_s=NOW_S + 300))
    assert trials.measured(reading(380, 7000.0)) is None
    assert trials.measured(reading(390, 7000.0)) is not None
    trials = on_trial()
    assert trials.measured(reading(900, 7000.0)) is None
    assert not trials.trials


def test_no_trial_without_an_accepted_order_by_negative_limit() -> None:
    trials = FirstUse(90.0)
    trials.placed(ORDER, TimedOut(), NOW_S)
    trials.placed(msgspec.structs.replace(ORDER, control_mode=ControlMode.SETPOINT), Accepted(), NOW_S)
    trials.placed(msgspec.structs.replace(ORDER, power_w=0.0), Accepted(), NOW_S)
    assert not trials.trials


def test_whatever_changes_the_order_ends_its_trial() -> None:
    trials = on_trial()
    trials.sent(ClearProfile(station_id=StationId("S1"), profile_id=ORDER.profile_id, session_uid=ORDER.session_uid))
    assert not trials.trials
    trials = on_trial()
    trials.ended(ORDER.session_uid)
    assert not trials.trials


def test_a_target_that_moves_does_not_begin_a_trial_anew() -> None:
    trials = on_trial()
    stronger = msgspec.structs.replace(ORDER, power_w=-9000.0)
    trials.sent(stronger)
    trials.placed(stronger, Accepted(), NOW_S + 60)
    assert trials.measured(reading(80, 11_000.0)) is None
    said = trials.measured(reading(90, 11_000.0))
    assert said is not None
    trials = on_trial(stronger)
    trials.sent(ORDER)
    trials.placed(ORDER, Accepted(), NOW_S + 60)
    assert trials.measured(reading(80, -4_000.0)) is None
    assert not trials.trials, "judged by the weaker of the two"


def given_up(*readings: tuple[float, float]) -> str | None:
    """What is said at the next reading, when the order is taken back after these (after s, W)."""
    trials = on_trial()
    for after_s, power_w in readings:
        assert trials.measured(reading(after_s, power_w)) is None
    trials.sent(ClearProfile(station_id=StationId("S1"), profile_id=ORDER.profile_id, session_uid=ORDER.session_uid))
    assert trials.measured(reading(99, 11_000.0, station_id=StationId("S2"))) is None
    said = trials.measured(reading(100, 11_000.0))
    assert not trials.trials, "said once"
    return said


def test_an_order_that_is_given_up_early_is_disproved_by_two_readings_against_it() -> None:
    assert given_up((10, 11_000.0), (40, 11_000.0), (60, 10_500.0)) == (
        "EVSE 1 was told to discharge 5000 W by a negative limit, and its meter shows 10500 W of charging"
    )
    assert given_up((10, 11_000.0), (20, 11_000.0), (60, 11_000.0)) is None, "one reading is none"
    assert given_up((40, float("nan")), (60, float("nan"))) is None, "unknown power says nothing"
    assert given_up((40, 11_000.0), (60, -4_900.0)) is None, "proved"


def test_the_server_holds_the_station_out_and_remembers_it() -> None:
    journal = MemoryJournal()
    settings = msgspec.convert({"stations": {"accept_unknown": True}}, Settings)
    notices: list[Any] = []
    room = ControlRoom(settings, journal, new_message_id=iter("abcdefgh").__next__, notify=notices.append)
    room.restore(NOW_S)
    room.opened("S1", "ocpp1.6", NOW_S)
    room._completed(CommandCompleted(station_id=StationId("S1"), at_s=NOW_S, command=ORDER, result=Accepted()), NOW_S)
    room._measured(reading(95, 7000.0), NOW_S + 95)
    [(_, held)] = journal.documents(DocumentKind.HELD_OUT)
    assert "negative limit" in held.text
    assert [notice.kind for notice in notices].count("station.held_out") == 1
    assert room.conflicts.release(StationId("S1"), "ops", "", NOW_S + 100)
