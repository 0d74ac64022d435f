"""A stream by IEC 104 on the virtual clock: the same outstation as behind the socket, the fleet that follows, and the dead-man."""

from typing import Any

import msgspec
import pytest

from counterflow.adapters.iec104.commands import SetpointCommand
from counterflow.adapters.iec104.outstation import Outstation
from counterflow.adapters.iec104.settings import Iec104Settings

PROGRAMS: dict[str, Any] = {
    "programs": [
        {
            "name": "afrr", "wire": "iec104", "sign": "generator", "unit": "kW", "max_discharge_power_w": 200_000.0,
            "stream_timeout_s": 12.0, "stream_hold_s": 20.0, "stream_ramp_down_s": 60.0,
        },
    ]
}  # fmt: skip
SETTINGS = msgspec.convert({"stations": [{"program": "afrr"}]}, Iec104Settings)


class Control:
    """A control system in front of a town, and what it sees."""

    def __init__(self, at: Any) -> None:
        self.at = at
        self.outstation = Outstation(at.grid, SETTINGS, SETTINGS.stations[0])
        self.shown: dict[int, Any] = {}

    def command(self, value: float, **more: Any) -> bool:
        taken: bool = self.at.do(self.outstation.command(SetpointCommand(value=value, **more)))
        return taken

    def keep_telling(self, value: float, seconds: int) -> None:
        for _ in range(seconds // 4):
            assert self.command(value, said_at_s=self.at.now_s)
            self.at.run(4)

    def see(self, address: int) -> float:
        """What a point shows now; it must be good."""
        value, qds = self.look(address)
        assert qds == 0
        return value

    def look(self, address: int) -> tuple[float, int]:
        self.shown.update((reading.address, reading) for reading in self.outstation.show().changed)
        return self.shown[address].value, int(self.shown[address].qds)


def test_the_pool_follows_setpoints_and_its_points_tell_so(town: Any, ideal: dict[str, Any]) -> None:
    at = town(40, 71, plant=ideal, settings=PROGRAMS)
    control = Control(at)
    assert (control.see(2012), control.see(3001), control.look(1002)) == (40.0, 1.0, (0.0, 0xC0))
    asked_kw = 0.5 * at.offer_w(3_600.0) / 1e3
    control.keep_telling(asked_kw, 80)
    assert at.delivered_w() / 1e3 == pytest.approx(asked_kw, rel=0.04)
    assert control.see(2001) == pytest.approx(asked_kw, rel=0.05)
    assert control.see(2003) == control.see(2001)
    assert (control.see(1002), control.see(2017), control.see(3002)) == (asked_kw, pytest.approx(asked_kw), 1.0)
    control.keep_telling(0.5 * asked_kw, 60)
    assert control.see(2001) == pytest.approx(0.5 * asked_kw, rel=0.06)
    assert len(at.operations.dispatches()) == 1, "one dispatch for all values"
    entries = at.operations.audit(0.0, 10)
    assert [(entry.who, entry.status) for entry in entries] == [("iec104:afrr", 200)]


def test_what_the_wire_or_the_program_refuses_is_on_record(town: Any, ideal: dict[str, Any]) -> None:
    at = town(10, 72, plant=ideal, settings=PROGRAMS)
    control = Control(at)
    assert not control.command(1.0, said_at_s=at.now_s - 60.0)
    assert not control.command(201.0)
    assert not control.command(-1.0)
    at.do(at.operations.emergency_stop(True, "test"))
    assert not control.command(10.0)
    assert control.see(3001) == 0.0
    sentences = [entry.after["sentence"] for entry in at.operations.audit(0.0, 10) if entry.who == "iec104:afrr"]
    assert len(sentences) == 4
    assert sentences[-1] == "The time of the command is more than 5 s behind our clock."
    assert at.operations.dispatches() == []


def test_decision_16_silence_is_shown_while_the_target_holds_and_falls_also_over_a_restart(town: Any, ideal: dict[str, Any]) -> None:
    at = town(40, 73, plant=ideal, settings=PROGRAMS)
    control = Control(at)
    asked_kw = 0.5 * at.offer_w(3_600.0) / 1e3
    control.keep_telling(asked_kw, 60)
    at.run(10)
    assert control.see(3011) == 1.0
    assert control.see(2017) == pytest.approx(asked_kw), "it holds"
    at.run(30)
    assert 0.2 * asked_kw < control.see(2017) < 0.9 * asked_kw, "it falls"
    at.restart(away_s=3.0)
    control = Control(at)
    at.run(60)
    assert (control.see(3011), control.see(2017)) == (1.0, 0.0)
    assert [alarm for alarm in at.operations.health().alarms if "has no source" in alarm]
    control.keep_telling(asked_kw, 80)
    assert control.see(3011) == 0.0
    assert control.see(2003) == pytest.approx(asked_kw, rel=0.06), "what its cars give; the pool's power has those that only charge, too"


def test_cars_that_fall_silent_take_the_quality_with_them(town: Any, ideal: dict[str, Any]) -> None:
    at = town(10, 74, plant=ideal, settings=PROGRAMS)
    control = Control(at)
    assert control.look(2001)[1] == 0
    at.world.cut_all(500.0)
    at.run(45)
    assert control.look(2001)[1] in (0x40, 0x20, 0xC0), "stale, partly filled in, or unknown"
    at.run(300)
    assert control.look(2001) == (0.0, 0xC0)
