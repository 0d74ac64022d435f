"""The part of `Operations` that settles: reports with their versions, series, single intervals, and what a report was made from."""

from collections.abc import Callable, Sequence

from counterflow.app.control_room import ControlRoom
from counterflow.app.desks.dispatch_desk import no_dispatch
from counterflow.app.settlement.reporting import Reporting
from counterflow.domain.delivery import DeliveryReport, SeriesPoint, Stored
from counterflow.domain.ids import DispatchId
from counterflow.domain.instructions import DispatchInstruction
from counterflow.domain.settlement import IntervalFigures, ReportVersion
from counterflow.domain.views import Refusal, RefusalKind


class ReportDesk:
    """Part of `LiveOperations`."""

    _room: ControlRoom
    _now_s: Callable[[], float]
    _reporting: Reporting

    async def series(self, dispatch_id: DispatchId, step_s: float) -> Sequence[SeriesPoint] | Refusal:
        """Power and energy on a grid of `step_s`."""
        instruction = self._instruction(dispatch_id)
        return instruction if isinstance(instruction, Refusal) else await self._reporting.series(instruction, step_s, self._now_s())

    async def intervals(self, dispatch_id: DispatchId, edges_s: Sequence[float]) -> Sequence[IntervalFigures] | Refusal:
        """What was delivered between each two of `edges_s`. Raises ValueError when they do not grow."""
        instruction = self._instruction(dispatch_id)
        return instruction if isinstance(instruction, Refusal) else await self._reporting.intervals(instruction, edges_s, self._now_s())

    async def report(self, dispatch_id: DispatchId, version: int | None = None) -> DeliveryReport | Refusal:
        """The settlement so far, or a version that is kept."""
        instruction = self._instruction(dispatch_id)
        if isinstance(instruction, Refusal):
            return instruction
        if version is None:
            return await self._reporting.report(instruction, self._now_s())
        return await self._reporting.kept(dispatch_id, version) or Refusal(
            kind=RefusalKind.NOT_FOUND,
            sentence=f"Of dispatch {dispatch_id} no report of version {version} is kept.",
            remedy=f"GET /api/v1/dispatches/{dispatch_id}/report/versions lists those that are.",
        )

    async def report_versions(self, dispatch_id: DispatchId) -> Sequence[ReportVersion] | Refusal:
        """The versions of the report that are kept, oldest first."""
        instruction = self._instruction(dispatch_id)
        return instruction if isinstance(instruction, Refusal) else await self._reporting.versions(dispatch_id)

    async def evidence(self, dispatch_id: DispatchId, version: int | None = None) -> tuple[DeliveryReport, Stored] | Refusal:
        """A report, and all that it was made from."""
        instruction = self._instruction(dispatch_id)
        if isinstance(instruction, Refusal):
            return instruction
        made = await self.report(dispatch_id, version)
        return made if isinstance(made, Refusal) else (made, await self._reporting.evidence(made, instruction))

    def _instruction(self, dispatch_id: DispatchId) -> DispatchInstruction | Refusal:
        return self._room.dispatcher.book.instructions.get(dispatch_id) or no_dispatch(dispatch_id)
