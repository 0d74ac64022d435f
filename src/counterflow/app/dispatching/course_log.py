"""The course of a running dispatch, told tick by tick: figures for the report and for who listens, and shortfalls as they come and go."""

from collections.abc import Callable

from counterflow.app.dispatching.placing import Placement
from counterflow.app.dispatching.tasks import Book, RunningTask
from counterflow.domain.delivery import LogEntry, LogKind
from counterflow.domain.units import format_power
from counterflow.domain.views import Notice
from counterflow.engine.control.settings import ControlSettings
from counterflow.engine.ports import Journal

SAID_AGAIN_FRAC = 0.05
"""Share of the target by which what can be given must change for a shortfall to be told again."""


class CourseLog:
    """Writes to the log of the dispatch, and announces."""

    def __init__(
        self, *, placement: Placement, journal: Journal, notify: Callable[[Notice], None], book: Book, control: ControlSettings
    ) -> None:
        self._placement = placement
        self._journal = journal
        self._notify = notify
        self._book = book
        self._control = control

    def tell(self, task: RunningTask, now_s: float) -> None:
        """One TICK line; a shortfall is announced when it begins and when it is over."""
        figures, instruction = task.figures, task.instruction
        assert figures is not None, "a running task has ticked"
        ordered_w = self._book.target_w(instruction, now_s)
        short_w = max(0.0, figures.shortfall_w, ordered_w - figures.target_w)
        entry = LogEntry(
            at_s=now_s,
            kind=LogKind.TICK,
            power_w=figures.measured_w,
            target_power_w=ordered_w,
            headroom_power_w=figures.headroom_w,
            count=figures.discharging,
            messages=self._placement.messages_by_dispatch[instruction.dispatch_id],
        )
        self._journal.log(instruction.dispatch_id, entry)
        able_w = figures.expected_w + figures.headroom_w
        is_short = short_w > max(self._control.band_w, self._control.band_frac * ordered_w)
        # While it lasts it is said again only when what can be given has changed by enough to matter.
        moved = is_short and abs(able_w - task.announced_able_w) > SAID_AGAIN_FRAC * ordered_w
        if is_short != task.announced_short or moved:
            task.announced_short, task.announced_able_w = is_short, able_w
            can = f"{format_power(able_w)} can be given now"
            text = f"short by {format_power(short_w)}: {can}" if is_short else f"the target can be met again: {can}"
            missing_w = short_w if is_short else 0.0
            self._journal.log(
                instruction.dispatch_id,
                LogEntry(
                    at_s=now_s, kind=LogKind.SHORTFALL, target_power_w=ordered_w, power_w=missing_w, headroom_power_w=able_w, text=text
                ),
            )
            values = {"shortfall_power_w": missing_w, "capability_power_w": able_w}
            self._say(now_s, "dispatch.shortfall", instruction.dispatch_id, text, **values)
        self._say(
            now_s,
            "dispatch.tick",
            instruction.dispatch_id,
            "",
            target_power_w=ordered_w,
            delivered_power_w=figures.measured_w,
            headroom_power_w=figures.headroom_w,
            discharging=figures.discharging,
        )

    def _say(self, now_s: float, kind: str, subject: str, text: str, **values: float) -> None:
        self._notify(Notice(at_s=now_s, kind=kind, subject=subject, text=text, values=dict(values)))
