"""The part of `Operations` that follows a dispatch closely: the values of streamed targets, and why a car was given what it was."""

from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from counterflow.app.control_room import ControlRoom
from counterflow.app.desks.course_reading import CourseReading
from counterflow.app.desks.explaining import Explaining, under_way
from counterflow.app.observing.notices import NoticeBoard
from counterflow.domain.course import CourseView
from counterflow.domain.delivery import LogEntry, LogKind
from counterflow.domain.dispatch_views import NoteView, TargetAnswer
from counterflow.domain.ids import DispatchId, SessionUid
from counterflow.domain.instructions import DispatchInstruction, StreamValue
from counterflow.domain.session_views import ExplanationView
from counterflow.domain.units import format_instant
from counterflow.domain.views import Notice, Refusal, RefusalKind


class DispatchDesk:
    """Part of `LiveOperations`."""

    _room: ControlRoom
    _now_s: Callable[[], float]
    _settled: Callable[[], Awaitable[None]]
    _explaining: Explaining
    _board: NoticeBoard

    async def tell(self, dispatch_id: DispatchId, value: StreamValue) -> TargetAnswer | Refusal:
        """One value of a streamed target; answered once it is durable. The next control tick comes for it."""
        instruction = self._room.dispatcher.book.instructions.get(dispatch_id)
        if instruction is None:
            return no_dispatch(dispatch_id)
        answer = self._room.dispatcher.tell(instruction, value, self._now_s())
        await self._settled()
        return answer

    async def note(self, dispatch_id: DispatchId, text: str, by: str) -> NoteView | Refusal:
        """A person notes something of a dispatch; it is kept in its log, and told."""
        now_s = self._now_s()
        if dispatch_id not in self._room.dispatcher.book.instructions:
            return no_dispatch(dispatch_id)
        self._room.journal.log(dispatch_id, LogEntry(at_s=now_s, kind=LogKind.NOTE, text=f"{by}: {text}"))
        self._board.publish(Notice(at_s=now_s, kind="dispatch.note", subject=dispatch_id, text=f"{by}: {text}", values={}))
        await self._settled()
        return NoteView(dispatch_id=dispatch_id, at_s=now_s, by=by, text=text)

    async def course(self, dispatch_id: DispatchId, since_s: float | None, step_s: float) -> CourseView | Refusal:
        """Figures and happenings of a dispatch, from its log."""
        if dispatch_id not in self._room.dispatcher.book.instructions:
            return no_dispatch(dispatch_id)
        reading = CourseReading(self._room.journal, self._room.settings.settlement.band_frac)
        return await reading.read(dispatch_id, self._now_s(), float("-inf") if since_s is None else since_s, step_s)

    async def explain(self, session_uid: SessionUid, at_s: float | None) -> ExplanationView | Refusal:
        """Why a car was given what it was given at an instant (None = now), or nothing."""
        now_s = self._now_s()
        at_s = now_s if at_s is None else at_s
        key = self._room.fleet.key_of(session_uid)
        concerned = under_way(tuple(self._room.dispatcher.book.instructions.values()), at_s)
        found = await self._explaining.explain(session_uid, concerned, at_s) if concerned else None
        if found is None and key is None:
            return Refusal(
                kind=RefusalKind.NOT_FOUND,
                sentence=f"Nothing is written of session {session_uid} at {format_instant(round(at_s))}, and it is not open now.",
                remedy="GET /api/v1/sessions (counterflow sessions) and reports name sessions by their session_uid.",
            )
        if found is None:
            return self._nothing_asked(session_uid, concerned, at_s)
        return found if key is None else replace(found, station_id=key[0], transaction_id=key[1])

    def _nothing_asked(self, session_uid: SessionUid, concerned: Sequence[DispatchInstruction], at_s: float) -> ExplanationView:
        """Of a car that is plugged in, and that no log speaks of."""
        key, instant = self._room.fleet.key_of(session_uid), format_instant(round(at_s))
        row = self._room.fleet.row_of(session_uid)
        assert key is not None and row is not None, "it is open"  # noqa: PT018  # both say the same
        image = self._room.fleet.snapshot(self._now_s())
        site, topology = int(image.site[row]), self._room.topology
        inside = [one for one in concerned if topology.pool_mask(one.pool)[site]]
        if not concerned:
            reason, sentence = "no_dispatch", f"No dispatch was under way at {instant}."
        elif not inside:
            reason, sentence = "not_in_pool", f"Its site {topology.site_ids[site]} is in no pool that was dispatched at {instant}."
        elif image.started_s[row] > at_s:
            reason, sentence = "not_begun", f"This session began only at {format_instant(round(float(image.started_s[row])))}."
        else:
            reason, sentence = "not_asked", f"Dispatch {inside[0].dispatch_id} asked nothing of it up to {instant}."
        return ExplanationView(
            session_uid=session_uid,
            station_id=key[0],
            transaction_id=key[1],
            at_s=at_s,
            dispatch_id=inside[0].dispatch_id if inside else None,
            setpoint_w=None,
            setpoint_at_s=None,
            reason=reason,
            sentences=(sentence,),
            figures={},
        )


def no_dispatch(dispatch_id: DispatchId) -> Refusal:
    """There is no such dispatch."""
    return Refusal(
        kind=RefusalKind.NOT_FOUND,
        sentence=f"There is no dispatch '{dispatch_id}'.",
        remedy="GET /api/v1/dispatches (counterflow dispatches) lists them.",
    )
