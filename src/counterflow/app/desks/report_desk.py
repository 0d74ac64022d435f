"""The part of `Operations` that settles: reports with their versions, series, single intervals, and what a report was made from."""

import asyncio
from collections.abc import Callable, Sequence

from counterflow.app.control_room import ControlRoom
from counterflow.app.desks.dispatch_desk import no_dispatch
from counterflow.app.settlement.reporting import Reporting
from counterflow.domain.delivery import DeliveryReport, SeriesPoint, Stored
from counterflow.domain.dispatch_views import VerificationView
from counterflow.domain.ids import DispatchId
from counterflow.domain.instructions import DispatchInstruction
from counterflow.domain.settlement import IntervalFigures, ReportVersion
from counterflow.domain.views import Refusal, RefusalKind
from counterflow.engine.settlement.verifying import NoEvidenceError, differences, remade


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

    async def verification(self, dispatch_id: DispatchId, version: int | None = None) -> VerificationView | Refusal:
        """The report made again, on a thread of its own, and held against what it says."""
        found = await self.evidence(dispatch_id, version)
        return found if isinstance(found, Refusal) else await asyncio.to_thread(_verified, *found)

    def _instruction(self, dispatch_id: DispatchId) -> DispatchInstruction | Refusal:
        return self._room.dispatcher.book.instructions.get(dispatch_id) or no_dispatch(dispatch_id)


def _verified(said: DeliveryReport, stored: Stored) -> VerificationView:
    try:
        made = remade(said, stored)
    except NoEvidenceError as error:
        return _verdict(said, None, 0, (str(error),))
    samples = made.evidence.samples if made.evidence is not None else 0
    return _verdict(said, made.delivered_energy_wh, samples, differences(said, made))


def _verdict(said: DeliveryReport, made_again_wh: float | None, samples: int, differ: tuple[str, ...]) -> VerificationView:
    return VerificationView(
        dispatch_id=said.dispatch_id,
        version=said.version,
        holds=not differ,
        delivered_energy_wh=said.delivered_energy_wh,
        made_again_wh=made_again_wh,
        samples=samples,
        differences=differ,
    )
