"""Telemetry of one program: live as it happens, and beside it, oldest first, what could not be sent."""

import asyncio
import time
from typing import Any

import msgspec
import structlog

from counterflow.adapters.mqtt.backlog import Backlog
from counterflow.adapters.mqtt.connection import Line
from counterflow.adapters.mqtt.settings import MqttSettings
from counterflow.adapters.mqtt.topics import REPLAYED, TELEMETRY
from counterflow.domain.grid import Wire
from counterflow.domain.program_translation import Terms
from counterflow.domain.program_words import TelemetryBatch
from counterflow.engine.grid_side import GridSide

LATE_RECORDS = 5
"""So many behind, live is no longer live: the newest goes first, the others are replayed."""
WAIT_S = 30.0
NOTE_S = 5.0
"""The account is written down so often; what was sent since is sent again after a crash."""

log = structlog.get_logger("counterflow")


class TelemetryOut:
    """Outlives the lines that it is sent by."""

    def __init__(self, grid: GridSide, terms: Terms, settings: MqttSettings) -> None:
        self.sent = 0
        self.replayed = 0
        self._grid = grid
        self._terms = terms
        self._settings = settings
        self._pool = terms.program.pool
        self._topic = settings.topics_of(terms.program)
        self._note = f"telemetry/{terms.program.name}"
        self._noted_s = float("-inf")
        self._gap = asyncio.Event()
        self.backlog = self._known(grid.notes(Wire.MQTT).get(self._note))

    async def run(self, line: Line) -> None:
        """Until the line is gone. Raises MqttError."""
        self.backlog.connected(self._grid.telemetry(self._pool).sequence)
        self._gap.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._live(line))
                tasks.create_task(self._replay(line))
        finally:
            self._write_down(at_once=True)

    async def _live(self, line: Line) -> None:
        backlog = self.backlog
        while True:
            records = await self._grid.telemetry_since(self._pool, backlog.live, LATE_RECORDS + 1, WAIT_S)
            if len(records) > LATE_RECORDS:
                backlog.connected(self._grid.telemetry(self._pool).sequence)
                self._gap.set()
                continue
            for record in records:
                await line.say(f"{self._topic}/{TELEMETRY}", self._terms.telemetry(record))
                backlog.sent(record.sequence)
                self.sent += 1
            self._write_down()

    async def _replay(self, line: Line) -> None:
        backlog, settings = self.backlog, self._settings
        while True:
            if not backlog.gaps:
                self._gap.clear()
                await self._gap.wait()
                continue
            began_s = time.monotonic()
            first, last = backlog.gaps[0]
            found = await self._grid.telemetry_since(self._pool, first - 1, settings.replay_batch)
            records = [record for record in found if record.sequence <= last]
            if not found or found[0].sequence > first:
                self._tell_loss(found[0].sequence if found else last + 1)
            if not records:
                continue
            words = tuple(self._terms.telemetry(record) for record in records)
            batch = TelemetryBatch(program=self._terms.program.called, pool=self._pool, replayed=True, records=words)
            await line.say(f"{self._topic}/{REPLAYED}", batch)
            backlog.replayed(records[-1].sequence)
            self.replayed += len(records)
            self._write_down()
            await asyncio.sleep(max(0.0, len(records) / settings.replay_per_s - (time.monotonic() - began_s)))

    def _tell_loss(self, first_kept: int) -> None:
        before = self.backlog.lost
        self.backlog.gone(first_kept)
        if self.backlog.lost > before:
            log.warning("telemetry lost", program=self._terms.program.name, records=self.backlog.lost - before)

    def _known(self, note: Any) -> Backlog:
        if note is not None:
            try:
                return msgspec.convert(note, Backlog)
            except msgspec.ValidationError:
                log.warning("telemetry account unreadable", program=self._terms.program.name)
        return Backlog.beginning(self._grid.telemetry(self._pool).sequence)

    def _write_down(self, *, at_once: bool = False) -> None:
        now_s = time.monotonic()
        if at_once or now_s - self._noted_s >= NOTE_S:
            self._noted_s = now_s
            self._grid.note(Wire.MQTT, self._note, msgspec.to_builtins(self.backlog))
