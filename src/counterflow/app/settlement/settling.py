"""The final report of each dispatch that has ended: made once late meter values are in, made again when more come, and once recovery has
been counted to its end; and made up for after a start."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog

from counterflow.domain.delivery import DeliveryReport
from counterflow.domain.ids import DispatchId
from counterflow.domain.instructions import DispatchInstruction
from counterflow.domain.views import Refusal
from counterflow.engine.control.book import OPEN_STATES

LATE_DATA_S = 60.0
"""A finished dispatch is settled this long after its end, when late meter values have come in; the same after each that came later."""
RETRY_S = 60.0
LOOK_BACK_S = 3600.0
"""After a start, dispatches whose recovery was over no longer ago are settled again: the process may have died between late values and
their report."""

_log = structlog.get_logger("counterflow")


class Settling:
    """Who still lacks a report. Used on the event loop's thread; what reads files is done in another one."""

    def __init__(
        self,
        settle: Callable[[DispatchId], Awaitable[DeliveryReport | Refusal]],
        has_report: Callable[[DispatchId], bool],
        recovery_s: float,
    ) -> None:
        """`settle` makes a report and keeps it (OSError when the disk does not take it); `has_report` tells whether one is kept;
        for `recovery_s` after the end recovery is counted."""
        self._settle = settle
        self._has_report = has_report
        self._recovery_s = recovery_s
        self._due_s: dict[DispatchId, float] = {}
        self._failed: dict[DispatchId, str] = {}

    def __len__(self) -> int:
        """Dispatches whose next report is still to be made."""
        return len(self._due_s)

    def alarms(self) -> tuple[str, ...]:
        """A sentence for each report that could not be kept so far."""
        return tuple(self._failed.values())

    def ended(self, dispatch_id: DispatchId, now_s: float) -> None:
        """A dispatch is over."""
        self._due_s[dispatch_id] = now_s + LATE_DATA_S

    def late(self, dispatch_id: DispatchId, now_s: float) -> None:
        """Meter values of its window came in. The first of a row of them sets the time: each row is one version."""
        due_s = now_s + LATE_DATA_S
        self._due_s[dispatch_id] = min(due_s, self._due_s.get(dispatch_id, due_s))

    async def find_missing(self, instructions: Iterable[DispatchInstruction], kept_since_s: float, now_s: float) -> None:
        """After a start: those that ended and whose report was never kept, or not to its end. Reports of windows before `kept_since_s`
        are not kept."""
        over = [item for item in instructions if item.state not in OPEN_STATES and item.end_s >= kept_since_s]
        missing = await asyncio.to_thread(lambda: [item for item in over if self._lacks(item, now_s)])
        for item in missing:
            self._due_s.setdefault(item.dispatch_id, item.end_s + LATE_DATA_S)

    def _lacks(self, instruction: DispatchInstruction, now_s: float) -> bool:
        return instruction.end_s > now_s - self._recovery_s - LOOK_BACK_S or not self._has_report(instruction.dispatch_id)

    async def settle_due(self, now_s: float) -> None:
        """Make the reports that are due, one after the other. One that cannot be kept is an alarm, and is tried again."""
        for dispatch_id in [dispatch_id for dispatch_id, due_s in self._due_s.items() if due_s <= now_s]:
            try:
                made = await self._settle(dispatch_id)
            except Exception as error:  # noqa: BLE001  # one report that cannot be made must not keep the others from being made
                _log.error("a final report could not be kept", dispatch_id=dispatch_id, error=repr(error))
                self._failed[dispatch_id] = f"The final report of dispatch {dispatch_id} could not be kept ({error}); it is tried again."
                self._due_s[dispatch_id] = now_s + RETRY_S
            else:
                self._failed.pop(dispatch_id, None)
                del self._due_s[dispatch_id]
                self._plan_the_last(made, now_s)

    def _plan_the_last(self, made: DeliveryReport | Refusal, now_s: float) -> None:
        """A report whose recovery is still under way is looked at once more when that is over: it stands where nothing more was drawn."""
        if isinstance(made, Refusal) or made.recovery is None or made.recovery.complete:
            return
        if now_s < made.recovery.ends_s + LATE_DATA_S:
            self._due_s[made.dispatch_id] = made.recovery.ends_s + LATE_DATA_S
