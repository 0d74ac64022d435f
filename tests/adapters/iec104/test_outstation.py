"""The outstation below its socket, on a clock that the test moves."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from counterflow.adapters.iec104.commands import SetpointCommand
from counterflow.adapters.iec104.outstation import Cause, Outstation, Showing
from counterflow.domain.grid import Sign, Wire
from counterflow.domain.views import Refusal, RefusalKind

NOW_S = 1_795_366_800.0


class Station:
    """An outstation with the words of the tests."""

    def __init__(self, desk: Any, settings: Any) -> None:
        self.desk = desk
        self.settings = settings
        self.outstation = Outstation(desk, settings, settings.stations[0])

    def command(self, value: float, **more: Any) -> bool:
        return asyncio.run(self.outstation.command(SetpointCommand(value=value, **more)))

    def show(self, after_s: float = 0.0, **changed: Any) -> Showing:
        """A new record, `after_s` later."""
        self.desk.off_s += after_s
        self.desk.show(**changed)
        return self.outstation.show()

    def at(self, address: int, after_s: float = 0.0, **changed: Any) -> tuple[float, int]:
        """What a point shows in the next record."""
        (reading,) = [one for one in self.show(after_s, **changed).changed if one.address == address]
        return reading.value, int(reading.qds)


@pytest.fixture
def at(desk_class: Any, settings_of: Any) -> Station:
    return Station(desk_class(lambda: NOW_S), settings_of({"cycle_s": 4.0}))


def sent(showing: Showing) -> tuple[Cause, set[int]]:
    return showing.cause, {reading.address for reading in showing.sent}


def test_all_is_sent_in_cycles_and_the_heartbeat_toggles_with_them(at: Station) -> None:
    first = at.outstation.show()
    assert (first.cause, len(first.sent)) == (Cause.PERIODIC, 19)
    assert sent(at.show(1.0)) == (Cause.SPONTANEOUS, set())
    assert at.outstation.until_cycle_s() == 3.0
    second = at.show(3.0)
    assert (second.cause, len(second.sent)) == (Cause.PERIODIC, 19)
    beats = [reading.value for showing in (first, second) for reading in showing.sent if reading.address == 3004]
    assert beats in ([0.0, 1.0], [1.0, 0.0])


def test_between_cycles_what_moves_out_of_its_dead_band_is_sent(at: Station) -> None:
    at.outstation.show()
    assert sent(at.show(1.0, measured_power_w=1.924e6, sessions=640, meter_age_s=12.0)) == (Cause.SPONTANEOUS, set())
    assert sent(at.show(1.0, measured_power_w=1.926e6)) == (Cause.SPONTANEOUS, {2001}), "26 kW of 5 MW, against what was sent last"
    assert sent(at.show(1.0, sessions=641, following=False)) == (Cause.SPONTANEOUS, {2012, 3002}), "numbers and flags have no dead-band"


def test_the_same_value_of_a_new_record_has_a_new_time_and_that_of_an_old_one_keeps_its_own(at: Station) -> None:
    at.outstation.show()
    assert len(at.show(1.0).changed) == 19
    at.desk.off_s += 1.0
    assert at.outstation.show().changed == []


def test_the_echo_is_what_was_taken_last_while_something_runs(at: Station) -> None:
    assert at.at(1002) == (2.0, 0), "after a start it is what runs"
    assert at.command(3.0)
    assert at.at(1002, target_power_w=2.5e6) == (3.0, 0), "the target is on its way"
    assert at.at(1002, 1.0, target_power_w=None) == (0.0, 0xC0), "somebody ended it"
    assert at.command(0.0)
    assert at.at(1002, 1.0) == (0.0, 0), "nothing was asked"


def test_a_refused_setpoint_changes_no_echo_and_no_silence(at: Station) -> None:
    assert at.command(1.0)
    at.desk.off_s += 29.0
    at.desk.refusal = Refusal(kind=RefusalKind.CONFLICT, sentence="No.", remedy="Wait.")
    assert not at.command(2.0)
    assert at.at(1002) == (1.0, 0)
    assert at.at(3011, 2.0) == (1.0, 0), "silent since the one that was taken"


def test_decision_16_a_silent_source_is_shown_until_it_is_heard_again_also_over_a_restart(at: Station, settings_of: Any) -> None:
    assert at.at(3011, 100.0) == (0.0, 0), "nothing was asked ever"
    at.command(2.0)
    assert at.at(3011, 30.0) == (0.0, 0)
    assert at.at(3011, 1.0) == (1.0, 0)
    restarted = Station(at.desk, at.settings)
    assert restarted.at(3011, 30.0) == (0.0, 0)
    assert restarted.at(3011, 1.0) == (1.0, 0)
    restarted.command(2.5)
    assert restarted.at(3011) == (0.0, 0)
    restarted.command(0.0)
    assert restarted.at(3011, 1_000.0) == (0.0, 0), "who asks for nothing may be silent"
    assert at.desk.noted == {}


def test_an_older_command_is_late_while_a_newer_one_is_still_being_decided(at: Station) -> None:
    async def both() -> tuple[bool, bool]:
        at.desk.thinks = True
        newer = asyncio.ensure_future(at.outstation.command(SetpointCommand(value=2.0, said_at_s=NOW_S)))
        await asyncio.sleep(0)
        older = await at.outstation.command(SetpointCommand(value=4.0, said_at_s=NOW_S - 1.0))
        at.desk.thinks = False
        return await newer, older

    assert asyncio.run(both()) == (True, False)
    assert at.desk.told == [2e6]
    assert at.desk.declined == ["A newer set-point has come already."]


def test_a_load_program_orders_discharge_with_negative_values(desk_class: Any, settings_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desk_class(lambda: NOW_S)
    (program,) = desk.programs(Wire.IEC104)
    monkeypatch.setattr(desk, "programs", lambda _wire: [replace(program, sign=Sign.LOAD)])
    station = Station(desk, settings_of())
    assert station.command(-2.0)
    assert desk.told == [2e6]
    assert not station.command(2.0)


def test_the_most_that_may_be_asked_is_not_refused_for_the_rounding_of_short_numbers(
    desk_class: Any, settings_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_class(lambda: NOW_S)
    (program,) = desk.programs(Wire.IEC104)
    monkeypatch.setattr(desk, "programs", lambda _wire: [replace(program, max_discharge_power_w=4.3e6)])
    station = Station(desk, settings_of())
    assert station.command(4.300000190734863), "4.3 as a short floating point number"
    assert desk.told == [4.3e6]
    desk.refusal = Refusal(kind=RefusalKind.INVALID, sentence="Beyond.", remedy="Order less.")
    assert not station.command(4.30001)
