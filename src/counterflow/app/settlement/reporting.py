"""Reports from the journal: read, settle and keep, off the event loop. Made again from the log they come out the same."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from threading import Lock

from msgspec.structs import replace

from counterflow.app.settlement.gathering import gather
from counterflow.app.settlement.late_values import LateValues
from counterflow.domain.delivery import DeliveryReport, SeriesPoint, Stored
from counterflow.domain.ids import DispatchId
from counterflow.domain.instructions import DispatchInstruction
from counterflow.domain.settlement import IntervalFigures, ReportVersion
from counterflow.domain.units import DAY_S
from counterflow.engine.control.book import OPEN_STATES
from counterflow.engine.ports import Journal, ReportSink
from counterflow.engine.settlement.delivery import build_report
from counterflow.engine.settlement.intervals import build_intervals, build_series
from counterflow.engine.settlement.revision import is_another, revision
from counterflow.engine.settlement.settings import SettlementSettings


class Reporting:
    """Builds reports; a final one is kept, and is the answer from then on. Late meter values make a new version until the gate closes."""

    def __init__(
        self,
        journal: Journal,
        sink: ReportSink,
        settings: SettlementSettings,
        newest: Callable[[DispatchId], DeliveryReport | None],
        instructions: Callable[[], Iterable[DispatchInstruction]] = tuple,
    ) -> None:
        """`newest` finds the last version that was kept; `instructions` are all dispatches that are known."""
        self._journal = journal
        self._sink = sink
        self._settings = settings
        self._newest = newest
        self._instructions = instructions
        self.late = LateValues(journal, instructions, settings)
        self._one_at_a_time = Lock()

    async def report(self, instruction: DispatchInstruction, now_s: float) -> DeliveryReport:
        """The report as of `now_s`."""
        return await asyncio.to_thread(self.build, instruction, now_s)

    async def series(self, instruction: DispatchInstruction, step_s: float, now_s: float) -> Sequence[SeriesPoint]:
        """The series on a grid of `step_s`."""
        return await asyncio.to_thread(lambda: build_series(self.stored(instruction, now_s), step_s, now_s, settings=self._settings))

    async def kept(self, dispatch_id: DispatchId, version: int) -> DeliveryReport | None:
        """A version that is kept; None when it is not."""
        return await asyncio.to_thread(self._sink.read, dispatch_id, version)

    async def versions(self, dispatch_id: DispatchId) -> Sequence[ReportVersion]:
        """The versions that are kept, oldest first."""
        return await asyncio.to_thread(self._versions, dispatch_id)

    async def evidence(self, report: DeliveryReport, instruction: DispatchInstruction) -> Stored:
        """All that a report was made from."""
        return await asyncio.to_thread(self.stored, instruction, report.generated_at_s)

    def _versions(self, dispatch_id: DispatchId) -> Sequence[ReportVersion]:
        sums = self._sink.sums(dispatch_id)
        found = (self._sink.read(dispatch_id, version) for version in self._sink.versions(dispatch_id))
        return [
            ReportVersion(
                version=report.version,
                generated_at_s=report.generated_at_s,
                delivered_energy_wh=report.delivered_energy_wh,
                uncertainty_wh=report.uncertainty_wh,
                quality=report.quality,
                sha256=sums.get(f"v{report.version}.json", ""),
                revision=report.revision,
            )
            for report in found
            if report is not None
        ]

    async def intervals(self, instruction: DispatchInstruction, edges_s: Sequence[float], now_s: float) -> Sequence[IntervalFigures]:
        """The figures between each two of `edges_s`, with the version of the report that they belong to."""
        return await asyncio.to_thread(self.cut, instruction, edges_s, now_s)

    def cut(self, instruction: DispatchInstruction, edges_s: Sequence[float], now_s: float) -> Sequence[IntervalFigures]:
        """Blocking: the same."""
        kept = self._newest(instruction.dispatch_id)
        version = 1 if kept is None else kept.version
        return build_intervals(self.stored(instruction, now_s), edges_s, now_s, settings=self._settings, version=version)

    def build(self, instruction: DispatchInstruction, now_s: float) -> DeliveryReport:
        """Blocking: read the journal and settle. One at a time, so that versions follow one another."""
        with self._one_at_a_time:
            return self._build(instruction, now_s)

    def stored(self, instruction: DispatchInstruction, now_s: float) -> Stored:
        """Blocking: all that a report of `now_s` is made from."""
        self._journal.flush()
        return gather(self._journal, instruction, now_s, self._settings, self._instructions)

    def _build(self, instruction: DispatchInstruction, now_s: float) -> DeliveryReport:
        final = instruction.state not in OPEN_STATES
        kept = self._newest(instruction.dispatch_id) if final else None
        if kept is not None and now_s > instruction.end_s + self._settings.gate_closure_days * DAY_S:
            return kept
        stored = self.stored(instruction, now_s)
        report = build_report(stored, now_s, settings=self._settings, final=final, version=1 if kept is None else kept.version)
        if kept is not None:
            if not is_another(kept, report):
                return kept
            report = replace(report, version=kept.version + 1, revision=revision(kept, report))
        if final:
            self._sink.keep(report)
        return report
