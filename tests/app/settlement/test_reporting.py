"""Versions of a report: a new one only where the content is another, whoever asks and how often."""

from pathlib import Path
from typing import Any

import msgspec

from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.adapters.storage.report_files import ReportFiles
from counterflow.app.config import Settings
from counterflow.app.replay import Replay
from counterflow.app.settlement.reporting import Reporting
from counterflow.domain.dispatch_views import DispatchAnswer
from counterflow.domain.instructions import DispatchOrder
from counterflow.sim.settings import WorldSettings

OPEN_HOUSE: dict[str, Any] = {"stations": {"accept_unknown": True}, "drivers": {"default": {"consent": True}}}


def test_a_final_report_asked_for_again_is_the_version_that_is_kept(tmp_path: Path) -> None:
    at = Replay(msgspec.convert(OPEN_HOUSE, Settings), WorldSettings(stations=12), 3, journal=MemoryJournal()).run(60)
    order = DispatchOrder(discharge_power_w=20_000.0, duration_s=60.0)
    answer = at.do(at.operations.order(order, None, False))
    assert isinstance(answer, DispatchAnswer)
    at.run(300)
    instruction = at.room.dispatcher.book.instructions[answer.dispatch.instruction.dispatch_id]
    files = ReportFiles(tmp_path)
    reporting = Reporting(at.journal, files, at.settings.settlement, files.newest)
    first = reporting.build(instruction, at.now_s)
    assert first.final
    assert first.delivered_energy_wh > 0.0
    assert reporting.build(instruction, at.now_s + 100.0).version == 1
    another_process = Reporting(at.journal, files, at.settings.settlement, files.newest)
    assert another_process.build(instruction, at.now_s + 200.0).version == 1
    at.journal.sample(first.sessions[0].session_uid, instruction.end_s, instruction.end_s - 30.0, -9_999.0, 1e7, 0.0, 0.5)
    assert another_process.build(instruction, at.now_s + 300.0).version == 2
    assert files.versions(instruction.dispatch_id) == [1, 2]
