"""Reports from the journal: read, settle and keep, off the event loop. Made again from the log they come out the same."""

import asyncio
from collections.abc import Callable, Sequence
from threading import Lock

from counterflow.domain.delivery import DeliveryReport, LogKind, SeriesPoint, Stored
from counterflow.domain.ids import DispatchId
from counterflow.domain.instructions import DispatchInstruction
from counterflow.domain.settlement import IntervalFigures
from counterflow.engine.control.book import OPEN_STATES
from counterflow.engine.ports import Journal, ReportSink
from counterflow.engine.settlement.delivery import build_report
from counterflow.engine.settlement.intervals import build_intervals, build_series
from counterflow.engine.settlement.settings import SettlementSettings

MARGIN_S = 1000.0
"""Samples are read this far around the window, so that registers bracket it even at 15-minute metering."""


class Reporting:
    """Builds reports; a final one is kept, with a new version when its content has changed."""

    def __init__(
        self,
        journal: Journal,
        sink: ReportSink,
        settings: SettlementSettings,
        newest: Callable[[DispatchId], DeliveryReport | None],
    ) -> None:
        """`newest` finds the last version that was kept."""
        self._journal = journal
        self._sink = sink
        self._settings = settings
        self._newest = newest
        self._one_at_a_time = Lock()

    async def report(self, instruction: DispatchInstruction, now_s: float) -> DeliveryReport:
        """The report as of `now_s`."""
        return await asyncio.to_thread(self.build, instruction, now_s)

    async def series(self, instruction: DispatchInstruction, step_s: float, now_s: float) -> Sequence[SeriesPoint]:
        """The series on a grid of `step_s`."""
        return await asyncio.to_thread(lambda: build_series(self._stored(instruction, now_s), step_s, now_s, settings=self._settings))

    def intervals(self, instruction: DispatchInstruction, edges_s: Sequence[float], now_s: float) -> tuple[IntervalFigures, ...]:
        """Blocking: the figures between each two of `edges_s`, with the version of the report that they belong to."""
        kept = self._newest(instruction.dispatch_id)
        version = 1 if kept is None else kept.version
        return build_intervals(self._stored(instruction, now_s), edges_s, now_s, settings=self._settings, version=version)

    def build(self, instruction: DispatchInstruction, now_s: float) -> DeliveryReport:
        """Blocking: read the journal and settle. One at a time, so that versions follow one another."""
        with self._one_at_a_time:
            return self._build(instruction, now_s)

    def _build(self, instruction: DispatchInstruction, now_s: float) -> DeliveryReport:
        final = instruction.state not in OPEN_STATES
        kept = self._newest(instruction.dispatch_id) if final else None
        stored = self._stored(instruction, now_s)
        version = kept.version if kept is not None else 1
        report = build_report(stored, now_s, settings=self._settings, final=final, version=version)
        if final and (kept is None or _substance(kept) != _substance(report)):
            if kept is not None:
                report = build_report(stored, now_s, settings=self._settings, final=final, version=version + 1)
            self._sink.keep(report)
        return report

    def _stored(self, instruction: DispatchInstruction, now_s: float) -> Stored:
        self._journal.flush()
        log = tuple(self._journal.dispatch_log(instruction.dispatch_id))
        members = {entry.session_uid for entry in log if entry.kind == LogKind.JOINED}
        to_s = min(now_s, instruction.end_s) + MARGIN_S
        samples = self._journal.samples(members, instruction.start_s - MARGIN_S, to_s)
        return Stored(instruction=instruction, log=log, samples=tuple(samples))


def _substance(report: DeliveryReport) -> tuple[object, ...]:
    return (report.delivered_energy_wh, report.uncertainty_wh, report.gaps, report.sessions)
