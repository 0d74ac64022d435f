"""The outstation on a real socket, driven by a control system of another's making (c104's client)."""

import asyncio
import contextlib
import struct
import sys
import time
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import c104
import pytest

from counterflow.adapters.iec104.outstation import CannotOpenError
from counterflow.domain.grid import Quality
from counterflow.domain.views import Refusal, RefusalKind

STOPPED = Refusal(kind=RefusalKind.CONFLICT, sentence="The emergency stop is on.", remedy="Reset it.")
SELECT = [{"address": 1011, "mode": "select"}, {"address": 1013, "type": "C_SE_TC_1", "mode": "select"}]
NO_FRAMES = [
    bytes.fromhex(octets)
    for octets in (
        "00", "6803", "6804ff000000", "680543000000ff", "680800000000ffffffff",
        "680e00000000780106002f0000000014",  # a type of file transfer
        "680e00000000640206002f0000000014",  # two objects said, one there
        "681400000000670106002f000000ffffffffffffff",  # a time that is none
    )
]  # fmt: skip
SILENT = {"cycle_s": 3600.0}
"""Nothing is sent but what is new."""


def now(**off: float) -> datetime:
    return datetime.now(UTC) + timedelta(**off)


def test_a_direct_setpoint_is_told_in_watts_and_confirmed_and_the_echo_follows_at_once(
    desk: Any, run: Any, master: Any, wait_for: Any
) -> None:
    at = run(desk, station=SILENT)
    control = master(at.settings.port)
    assert control.command(1001, 2.5)
    assert desk.told == [2_500_000.0]
    wait_for(lambda: (1002, 2.5, "SPONTANEOUS") in [seen[:3] for seen in control.seen])


def test_what_the_dispatcher_refuses_is_confirmed_negatively(desk: Any, run: Any, master: Any) -> None:
    at = run(desk)
    control = master(at.settings.port)
    assert not control.command(1001, 5.1), "more than the program may ask"
    assert not control.command(1001, -1.0), "consumption"
    desk.refusal = STOPPED
    assert not control.command(1001, 1.0)
    desk.refusal = None
    assert control.command(1001, 1.0)
    assert desk.told == [1_000_000.0]


def test_a_timed_setpoint_counts_while_it_is_fresh_and_newer_than_the_last(desk: Any, run: Any, master: Any) -> None:
    at = run(desk)
    control = master(at.settings.port)
    assert not control.command(1003, 1.0, "C_SE_TC_1", said=now(seconds=-6))
    assert not control.command(1003, 1.0, "C_SE_TC_1", said=now(minutes=1))
    newest = now()
    assert control.command(1003, 2.0, "C_SE_TC_1", said=newest)
    assert not control.command(1003, 1.0, "C_SE_TC_1", said=newest - timedelta(seconds=1))
    assert control.command(1003, 3.0, "C_SE_TC_1", said=newest + timedelta(seconds=1))
    assert desk.told == [2_000_000.0, 3_000_000.0]
    assert [sentence.split(" is ")[-1] for sentence in desk.declined] == [
        "more than 5 s behind our clock.",
        "more than 5 s ahead of our clock.",
        "A newer set-point has come already.",
    ]


@pytest.mark.parametrize("timed", [False, True])
def test_select_before_execute_and_nothing_without_a_selection(desk: Any, run: Any, timed: bool) -> None:
    at = run(desk, station={"setpoints": SELECT})

    def asdu(value_mw: float, select: bool, said: datetime) -> bytes:
        head = bytes.fromhex("3f0106002f00f50300" if timed else "320106002f00f30300")  # IOA 1013 or 1011
        return head + struct.pack("<fB", value_mw, 0x80 if select else 0) + (_cp56(said) if timed else b"")

    with at.plain() as line:
        assert not line.confirms(asdu(1.5, False, now())), "not selected before"
        assert line.confirms(asdu(1.5, True, now()))
        assert desk.told == [], "a selection is no command"
        assert line.confirms(asdu(1.5, False, now()))
        assert desk.told == [1_500_000.0]
        time.sleep(0.3)  # c104 forgets a selection a moment after its execution
        assert not line.confirms(asdu(1.5, False, now())), "a selection is good for one command"
        assert line.confirms(asdu(6.0, True, now(seconds=1)))
        assert not line.confirms(asdu(6.0, False, now(seconds=1))), "more than may be asked"
    assert desk.told == [1_500_000.0]


def test_a_selection_lapses(desk: Any, run: Any) -> None:
    at = run(desk, station={"setpoints": SELECT}, select_within_s=0.5)
    raw = bytes.fromhex("320106002f00f30300") + b"\x00\x00\x80\x3f"  # 1.0 at IOA 1011
    with at.plain() as line:
        assert line.confirms(raw + b"\x80"), "selected"
        time.sleep(0.8)
        assert not line.confirms(raw + b"\x00"), "executed too late"
        assert any(line.confirms(raw + b"\x80") and line.confirms(raw + b"\x00") for _ in range(9)), "in time, if the machine lets us"
    assert desk.told == [1_000_000.0]


def test_a_direct_address_cannot_be_selected_and_an_unknown_one_is_unknown(desk: Any, run: Any, master: Any) -> None:
    at = run(desk)
    assert not master(at.settings.port).command(1001, 1.0, select=True)
    with at.plain() as line:
        assert line.cause_of(bytes.fromhex("320106002f00e703000000803f00"), 20.0) == 47, "unknown information object address"
        assert line.cause_of(bytes.fromhex("3201060030 00e903000000803f00"), 20.0) == 46, "unknown common address"
        assert line.cause_of(bytes.fromhex("300106002f00e9030000 4000"), 20.0) == 44, "unknown type: a normalised set-point"
    assert desk.told == []


def test_what_else_a_control_system_may_send(desk: Any, run: Any, master: Any) -> None:
    at = run(desk)
    control = master(at.settings.port)
    assert any(control.connection.test(47, with_time=True) for _ in range(3)), "C_TS_TA_1"
    assert any(control.connection.counter_interrogation(47) for _ in range(3)), "answered, though there are no counters"
    with at.plain() as line:
        assert line.cause_of(bytes.fromhex("640106002f0000000015")) == 0x47, "a group is refused"


def test_a_command_under_test_and_one_whose_clock_is_wrong_have_no_effect(desk: Any, run: Any) -> None:
    at = run(desk)
    with at.plain() as line:
        assert not line.confirms(bytes.fromhex("320186002f00e903000000803f00")), "the test bit"
        stamp = _cp56(now(), minute_bits=0x80)
        assert not line.confirms(bytes.fromhex("3f0106002f00eb03000000803f00") + stamp), "the time's bit IV"
        assert line.confirms(bytes.fromhex("3f0106002f00eb03000000803f00") + _cp56(now()))
        assert not line.confirms(bytes.fromhex("320106002f00e9030000 00c07f 00")), "not a number"
    assert desk.told == [1_000_000.0]
    assert len(desk.declined) == 2


def _cp56(at: datetime, minute_bits: int = 0) -> bytes:
    milliseconds = at.second * 1000 + at.microsecond // 1000
    return milliseconds.to_bytes(2, "little") + bytes([at.minute | minute_bits, at.hour, at.day, at.month, at.year % 100])


def test_an_interrogation_is_answered_with_every_point_its_value_and_its_quality(desk: Any, run: Any, master: Any, wait_for: Any) -> None:
    desk.show(quality=Quality.STALE, up_power_w=None)
    at = run(desk)
    control = master(at.settings.port)
    wait_for(at.listened_to)
    control.seen.clear()
    assert control.interrogate()
    answered = {address: (value, quality.value) for address, value, cause, quality in control.seen if cause == "INTERROGATED_BY_STATION"}
    assert sorted(answered) == [
        1002,
        2001,
        2002,
        2003,
        2004,
        2005,
        2006,
        2008,
        2010,
        2012,
        2014,
        2015,
        2016,
        2017,
        3001,
        3002,
        3003,
        3004,
        3011,
    ]
    assert answered[2001] == (pytest.approx(1.9), 0x40), "MW, not topical"
    assert answered[2004] == (0.0, 0xC0), "unknown: invalid and not topical, never a good zero"
    assert answered[2006] == (3.0, 0), "MWh"
    assert answered[2008][1] == 0xC0, "no power, no endurance"
    assert answered[2010] == (3.0, 0), "MW/min"
    assert answered[2012] == (640.0, 0)
    assert (answered[3001], answered[3003]) == ((True, 0), (False, 0))


def test_before_the_first_look_every_point_is_invalid(desk: Any, run: Any, master: Any) -> None:
    desk.telemetry = lambda pool: (_ for _ in ()).throw(KeyError(pool))
    at = run(desk)
    control = master(at.settings.port)
    assert control.interrogate()
    qualities = {quality.value for _, _, cause, quality in control.seen if cause == "INTERROGATED_BY_STATION"}
    assert qualities == {0xC0}
    assert list(desk.alarms.values()) == ["The points of IEC 104 station 47 are not up to date: a fault of ours, see the log."]
    assert control.command(1001, 1.0), "commands are taken all the same"


def test_everything_comes_in_cycles_and_what_moves_comes_at_once(desk: Any, run: Any, master: Any, wait_for: Any) -> None:
    at = run(desk, station={"cycle_s": 1.0})
    control = master(at.settings.port)
    wait_for(lambda: [seen for seen in control.seen if seen[0] == 2001 and seen[2] == "PERIODIC"])
    control.seen.clear()
    desk.show(measured_power_w=1.0e6, sessions=640)
    wait_for(lambda: (2001, 1.0, "SPONTANEOUS") in [seen[:3] for seen in control.seen])
    assert not [seen for seen in control.seen if seen[0] == 2012 and seen[2] == "SPONTANEOUS"], "it has not moved"
    wait_for(lambda: len({seen[1] for seen in control.seen if seen[0] == 3004}) == 2)


def test_a_quality_that_changes_comes_at_once_and_small_moves_do_not(desk: Any, run: Any, master: Any, wait_for: Any) -> None:
    at = run(desk, station=SILENT)
    control = master(at.settings.port)
    wait_for(at.listened_to)
    control.seen.clear()
    desk.show(measured_power_w=desk.record.measured_power_w + 20_000.0)
    desk.show(quality=Quality.ESTIMATED)
    wait_for(lambda: [seen for seen in control.seen if seen[0] == 2001 and seen[3].value == 0x20])
    desk.show(quality=Quality.MISSING, measured_power_w=None)
    wait_for(lambda: [seen for seen in control.seen if seen[0] == 2001 and seen[3].value == 0xC0])
    assert len([seen for seen in control.seen if seen[0] == 2001]) == 2


def test_time_tags_are_those_of_the_record(desk: Any, run: Any, master: Any, wait_for: Any) -> None:
    at = run(desk)
    control = master(at.settings.port)
    wait_for(at.listened_to)
    before = now()
    desk.show(measured_power_w=0.0)
    wait_for(lambda: control.value(2001) == 0.0)
    tag = control.station.get_point(2001).recorded_at
    assert before - timedelta(milliseconds=1) <= tag.astimezone(UTC) <= now()


def test_a_late_answer_is_a_negative_one_and_the_echo_says_what_is_in_force(desk: Any, run: Any, master: Any, wait_for: Any) -> None:
    at = run(desk, confirm_within_s=0.1)
    control = master(at.settings.port)
    desk.thinks = True
    assert not control.command(1001, 3.0)
    assert desk.told == []
    desk.thinks = False
    wait_for(lambda: control.value(1002) == 3.0)
    assert at.service.figures().late_answers == 1


def test_telemetry_goes_on_while_a_command_waits_for_its_answer(desk: Any, run: Any, master: Any, wait_for: Any) -> None:
    at = run(desk)
    control, other = master(at.settings.port), master(at.settings.port)
    desk.thinks = True

    async def tell() -> bool:
        return await asyncio.to_thread(control.command, 1001, 1.0)

    waiting = asyncio.run_coroutine_threadsafe(tell(), at.loop)
    time.sleep(0.1)
    other.seen.clear()
    desk.show(measured_power_w=0.5e6)
    wait_for(lambda: (2001, 0.5, "SPONTANEOUS") in [seen[:3] for seen in other.seen])
    assert not waiting.done()
    desk.thinks = False
    assert waiting.result(60)


def test_a_fault_of_ours_is_a_negative_answer(desk: Any, run: Any, master: Any) -> None:
    at = run(desk)

    async def tell(*_: Any) -> None:
        raise RuntimeError("a fault of ours")

    desk.tell = tell
    assert not master(at.settings.port).command(1001, 1.0)


def test_control_systems_that_are_not_listed_are_turned_away(desk: Any, run: Any, wait_for: Any) -> None:
    at = run(desk, masters=["10.0.0.0/8", "127.0.0.2"])
    with pytest.raises(OSError), at.plain() as line:
        line.confirms(bytes.fromhex("320106002f00e903000000803f00"))
    assert wait_for(lambda: at.service.figures().turned_away == 1)
    assert desk.told == []


def test_several_control_systems_see_the_same_and_the_newest_command_counts(desk: Any, run: Any, master: Any, wait_for: Any) -> None:
    at = run(desk, station=SILENT)
    first, second = master(at.settings.port), master(at.settings.port)
    assert first.command(1001, 1.0)
    assert second.command(1001, 2.0)
    wait_for(lambda: first.value(1002) == second.value(1002) == 2.0)
    assert desk.told == [1_000_000.0, 2_000_000.0]


def test_a_control_system_comes_back_and_nobody_for_too_long_is_an_alarm(desk: Any, run: Any, master: Any, wait_for: Any) -> None:
    at = run(desk, station={"cycle_s": 1.0}, master_absent_s=0.3)
    control = master(at.settings.port)
    assert control.command(1001, 1.0)
    control.close()
    wait_for(lambda: "masters" in desk.alarms)
    assert desk.alarms["masters"].startswith("No control system has been connected by IEC 104 since ")
    again = master(at.settings.port)
    wait_for(lambda: "masters" not in desk.alarms)
    assert again.interrogate()
    assert again.value(1002) == 1.0


def test_after_a_restart_the_points_are_there_again_and_a_silent_source_is_shown(desk: Any, run: Any, master: Any, wait_for: Any) -> None:
    at = run(desk, station={"cycle_s": 1.0})
    control = master(at.settings.port)
    assert control.command(1001, 2.0)
    at.close()
    wait_for(lambda: not control.connection.is_connected)
    again = run(desk, settings=at.settings)
    newcomer = master(again.settings.port)
    assert newcomer.interrogate()
    assert newcomer.value(1002) == 2.0, "what runs"
    assert newcomer.value(3011) is False
    desk.off_s = 31.0  # the source has said nothing
    wait_for(lambda: newcomer.value(3011) is True)


def test_a_clock_is_compared_and_never_set(desk: Any, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    at = run(desk)
    with at.plain() as line:
        assert line.confirms(bytes.fromhex("670106002f00000000") + _cp56(now()))
        assert "the clock of a control system is off" not in capsys.readouterr().out
        assert line.confirms(bytes.fromhex("670106002f00000000") + _cp56(now(hours=1)))
        assert "the clock of a control system is off" in capsys.readouterr().out


def test_octets_that_are_no_frame_end_their_connection_and_no_other(desk: Any, run: Any, master: Any) -> None:
    """The library behind the door ends the whole process over some of these."""
    at = run(desk, max_masters=8)
    control = master(at.settings.port)
    random = Random(104)
    for octets in NO_FRAMES:
        with contextlib.suppress(OSError), at.plain() as line:
            line.sends(octets)
            with pytest.raises(OSError):
                line.cause_of(bytes.fromhex("320106002f00e903000000803f00"))
    for _ in range(100):
        with contextlib.suppress(OSError), at.plain() as line:
            line.sends(random.randbytes(random.randrange(1, 300)))
    assert control.command(1001, 1.0), "it has stayed connected"
    assert at.service.figures().malformed >= len(NO_FRAMES)
    assert desk.told == [1_000_000.0]


def test_nobody_comes_in_behind_the_door(desk: Any, run: Any) -> None:
    at = run(desk)
    with pytest.raises(OSError), at.plain_to(at.service.link.port) as line:
        line.confirms(bytes.fromhex("320106002f00e903000000803f00"))
    assert desk.told == []


def test_a_way_in_that_nobody_took_is_shut_at_once(desk: Any, run: Any, free_port: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    at = run(desk)
    monkeypatch.setattr(at.service.front, "_inner_port", free_port())  # the library cannot be reached
    with pytest.raises(OSError), at.plain() as line:
        line.confirms(bytes.fromhex("320106002f00e903000000803f00"))
    monkeypatch.undo()
    with pytest.raises(OSError), at.plain_to(at.service.link.port) as line:
        line.confirms(bytes.fromhex("320106002f00e903000000803f00"))
    assert desk.told == []
    with at.plain() as line:
        assert line.confirms(bytes.fromhex("320106002f00e903000000803f00"))


@pytest.mark.parametrize("peer", [None, ("::1", 5000, 0, 0), ("::ffff:127.0.0.1", 5000, 0, 0)])
def test_whose_address_is_none_of_ours_is_turned_away(
    desk: Any, run: Any, wait_for: Any, monkeypatch: pytest.MonkeyPatch, peer: Any
) -> None:
    at = run(desk)
    told = asyncio.StreamWriter.get_extra_info
    monkeypatch.setattr(asyncio.StreamWriter, "get_extra_info", lambda self, name: peer if name == "peername" else told(self, name))
    with pytest.raises(OSError), at.plain() as line:
        line.confirms(bytes.fromhex("320106002f00e903000000803f00"))
    assert wait_for(lambda: at.service.figures().turned_away == 1)
    assert desk.told == []


def test_no_more_than_so_many_are_let_in(desk: Any, run: Any) -> None:
    at = run(desk, max_masters=1)
    with at.plain() as first:
        with pytest.raises(OSError), at.plain() as second:
            second.confirms(bytes.fromhex("320106002f00e903000000803f00"))
        assert first.confirms(bytes.fromhex("320106002f00e903000000803f00"))


def test_what_has_come_in_is_counted(desk: Any, run: Any, master: Any, wait_for: Any) -> None:
    at = run(desk, station={"cycle_s": 1.0})
    control = master(at.settings.port)
    control.command(1001, 2.0)
    control.command(1001, 99.0)
    wait_for(lambda: at.service.figures().masters == 1)
    assert at.service.figures().commands == {("afrr", "taken"): 1, ("afrr", "refused"): 1}


def test_a_port_that_is_taken_is_said_in_a_sentence(desk: Any, run: Any) -> None:
    at = run(desk)
    with pytest.raises(OSError, match=rf"The IEC 104 port 127.0.0.1:{at.settings.port} cannot be opened; is another server running\?"):
        run(desk, settings=at.settings)


def test_without_the_extra_one_sentence_says_what_to_install(desk: Any, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "counterflow.adapters.iec104.link", raising=False)
    monkeypatch.setitem(sys.modules, "c104", None)
    with pytest.raises(CannotOpenError, match=r"^IEC 60870-5-104 needs .* Type: pip install 'counterflow\[iec104\]'$"):
        run(desk)


def test_the_master_library_and_ours_agree_on_the_bits() -> None:
    assert (c104.Quality.Invalid.value, c104.Quality.NonTopical.value, c104.Quality.Substituted.value) == (0x80, 0x40, 0x20)
