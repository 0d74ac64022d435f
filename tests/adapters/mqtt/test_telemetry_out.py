"""Live first, the rest in order: what goes over a line that breaks anywhere, without a broker."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import aiomqtt
import pytest
from msgspec.structs import replace

from counterflow.adapters.mqtt.settings import MqttSettings
from counterflow.adapters.mqtt.telemetry_out import LATE_RECORDS, TelemetryOut
from counterflow.adapters.web.examples import EXAMPLES
from counterflow.domain.grid import GridUnit, PoolTelemetry, Program, Sign, Wire
from counterflow.domain.program_translation import Terms

TERMS = Terms(Program(name="p", wire=Wire.MQTT, sign=Sign.LOAD, unit=GridUnit.KW, max_discharge_power_w=1e6))
ONE: Any = EXAMPLES[PoolTelemetry]


class Records:
    """The grid side's telemetry and notes, in memory."""

    def __init__(self) -> None:
        self.kept: list[PoolTelemetry] = []
        self.noted: dict[str, Any] = {}
        self.make(100)

    def make(self, *numbers: int) -> None:
        self.kept += [replace(ONE, sequence=number) for number in numbers]

    def telemetry(self, pool: str) -> PoolTelemetry:
        return self.kept[-1]

    async def telemetry_since(self, pool: str, sequence: int, most: int, wait_s: float = 0.0) -> Sequence[PoolTelemetry]:
        await asyncio.sleep(0.001)
        return [record for record in self.kept if record.sequence > sequence][:most]

    def notes(self, wire: Wire) -> dict[str, Any]:
        return dict(self.noted)

    def note(self, wire: Wire, key: str, body: Any) -> None:
        self.noted[key] = body


class Line:
    """Takes so many messages, then breaks."""

    def __init__(self, takes: int = 10_000) -> None:
        self.takes = takes
        self.live: list[int] = []
        self.batches: list[list[int]] = []

    async def say(self, topic: str, words: Any, *, retain: bool = False) -> int:
        await asyncio.sleep(0)
        if self.takes == 0:
            raise aiomqtt.MqttError("broken")
        self.takes -= 1
        if topic.endswith("/replayed"):
            assert words.replayed
            self.batches.append([record.sequence for record in words.records])
        else:
            self.live.append(words.sequence)
        return 1

    @property
    def replayed(self) -> list[int]:
        return [number for batch in self.batches for number in batch]


def sender(records: Records, **settings: Any) -> TelemetryOut:
    grid: Any = records
    return TelemetryOut(grid, TERMS, MqttSettings(host="x", replay_batch=4, replay_per_s=1e6, **settings))


async def over(out: TelemetryOut, line: Line) -> None:
    """Send over a line until it breaks, or everything is said; and a little longer, since nothing is to be said twice."""
    sending = asyncio.create_task(out.run(line))  # type: ignore[arg-type]
    newest = out._grid.telemetry("all").sequence
    async with asyncio.timeout(60.0):
        while not sending.done() and (out.backlog.gaps or out.backlog.live < newest):
            await asyncio.sleep(0.001)
    for _ in range(20):
        await asyncio.sleep(0.001)
    sending.cancel()
    with contextlib.suppress(asyncio.CancelledError, ExceptionGroup):
        await sending


def test_the_newest_goes_first_and_what_was_missed_follows_in_batches_of_its_order() -> None:
    records = Records()
    out = sender(records)

    async def life() -> Line:
        await over(out, Line(takes=1))
        records.make(*range(101, 121))
        line = Line()
        await over(out, line)
        return line

    line = asyncio.run(life())
    assert line.live == [120]
    assert line.batches == [[101, 102, 103, 104], [105, 106, 107, 108], [109, 110, 111, 112], [113, 114, 115, 116], [117, 118, 119]]
    assert (out.sent, out.replayed, out.backlog.waiting) == (2, 19, 0)


@pytest.mark.parametrize("takes", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("crash", [False, True])
def test_a_line_that_breaks_anywhere_loses_nothing(takes: int, crash: bool) -> None:
    records = Records()
    out = sender(records)
    lines = [Line(takes=1), Line(takes=takes), Line()]

    async def life(out: TelemetryOut) -> None:
        for line in lines:
            await over(out, line)
            records.make(*range(records.kept[-1].sequence + 1, records.kept[-1].sequence + 13))
            out = sender(records) if crash else out

    asyncio.run(life(out))
    heard = [number for line in lines for number in (*line.live, *line.replayed)]
    assert set(range(100, 125)) <= set(heard)
    for line in lines:
        assert line.live == sorted(line.live)
        assert line.replayed == sorted(line.replayed)


def test_a_line_that_falls_behind_shows_the_newest_and_replays_the_rest() -> None:
    records = Records()
    out, line = sender(records), Line()

    async def life() -> None:
        opened = asyncio.create_task(out.run(line))  # type: ignore[arg-type]
        async with asyncio.timeout(60.0):
            while not line.live:
                await asyncio.sleep(0.001)
            records.make(*range(101, 101 + 3 * LATE_RECORDS))
            while out.backlog.gaps or out.backlog.live < records.kept[-1].sequence:
                await asyncio.sleep(0.001)
        opened.cancel()
        await asyncio.wait([opened])

    asyncio.run(life())
    newest = 100 + 3 * LATE_RECORDS
    assert line.live == [100, newest]
    assert line.replayed == list(range(101, newest))


def test_what_is_not_kept_any_more_is_counted_and_the_rest_is_sent() -> None:
    records = Records()
    out = sender(records)

    async def life() -> Line:
        await over(out, Line(takes=1))
        records.make(*range(101, 121))
        records.kept = [record for record in records.kept if record.sequence >= 110]
        line = Line()
        await over(out, line)
        return line

    line = asyncio.run(life())
    assert line.replayed == list(range(110, 120))
    assert (out.backlog.lost, out.backlog.waiting) == (9, 0)


def test_an_account_that_cannot_be_read_begins_anew() -> None:
    records = Records()
    records.noted["telemetry/p"] = {"live": "much"}
    assert sender(records).backlog.live == 99
