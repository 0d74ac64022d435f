"""`Operations`: what the API and the command line may see and ask, on top of the control room.

Commands run on the event loop, at once and whole; the answer waits until the journal is durable (decisions 8).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from secrets import token_hex

import numpy as np
from msgspec.structs import replace

from counterflow import __version__
from counterflow.adapters.storage.frames import Frame
from counterflow.app.control_room import ControlRoom
from counterflow.app.desks.access_desk import AccessDesk
from counterflow.app.desks.dispatch_desk import DispatchDesk, no_dispatch
from counterflow.app.desks.explaining import Explaining
from counterflow.app.desks.held_back import held_back
from counterflow.app.desks.history_desk import HistoryDesk
from counterflow.app.desks.listings import session_list
from counterflow.app.desks.offer_desk import OfferDesk
from counterflow.app.desks.report_desk import ReportDesk
from counterflow.app.desks.security_operations import NoCertificates, SecurityDesk, ServerCertificates
from counterflow.app.desks.session_pages import session_page
from counterflow.app.desks.site_desk import SiteDesk
from counterflow.app.desks.station_desk import StationDesk
from counterflow.app.desks.views import (
    dispatch_view,
    fleet_view,
    session_view,
    view_of,
)
from counterflow.app.observing.notices import NoticeBoard
from counterflow.app.settlement.reporting import Reporting
from counterflow.domain.dispatch_views import ClearingView, DispatchAnswer, DispatchView
from counterflow.domain.ids import DispatchId, SessionUid, StationId, TransactionId
from counterflow.domain.instructions import Amendment, DispatchInstruction, DispatchOrder
from counterflow.domain.reasons import ChangeReason
from counterflow.domain.session_views import SessionPage, SessionQuery, SessionView
from counterflow.domain.views import FleetView, HealthView, Notice, Refusal, RefusalKind, StorageView
from counterflow.engine.control.book import (
    LIVE_STATES,
    OPEN_STATES,
    Move,
    amended,
    conflicts_of,
    displacement,
    draw_up,
    settle_conflicts,
    too_little,
    with_feasibility,
)


class LiveOperations(StationDesk, SiteDesk, SecurityDesk, AccessDesk, ReportDesk, DispatchDesk, OfferDesk, HistoryDesk):
    """One instance a process. `now_s` is the clock, `settled` waits for durability and sends what is due."""

    def __init__(
        self,
        room: ControlRoom,
        *,
        board: NoticeBoard,
        reporting: Reporting,
        now_s: Callable[[], float],
        settled: Callable[[], Awaitable[None]],
        alarms: Callable[[], tuple[str, ...]],
        disconnect: Callable[[StationId], None],
        certificates: ServerCertificates = NoCertificates(),  # noqa: B008  # it has no state
        wire_alarms: Callable[[], tuple[str, ...]] = tuple,
        frames: Callable[[StationId, int], Sequence[Frame]] = lambda _station_id, _count: (),
        storage: Callable[[], StorageView] = lambda: StorageView(stores=(), free_bytes=0),
        new_id: Callable[[], str] = lambda: token_hex(4),
    ) -> None:
        super().__init__(room, now_s, settled, certificates)
        self._board = board
        self._reporting = reporting
        self._explaining = Explaining(room.journal)
        self._alarms = alarms
        self._disconnect = disconnect
        self._wire_alarms = wire_alarms
        self._frames = frames
        self._storage = storage
        self._new_id = new_id
        self._one_offer = asyncio.Lock()
        self._one_day = asyncio.Lock()
        self._days = {}
        self._started_at_s = now_s()

    # --- looking -------------------------------------------------------------------------------------------------------------

    def health(self) -> HealthView:
        """Ready means: the journal writes, and nothing is broken. An emergency stop, an overdue source, a session that was stopped
        and what wires complain of are alarms that leave it ready: a reset and new values must get in."""
        serious = (*self._alarms(), *self._room.dispatcher.faults.alarms(self._now_s()))
        alarms = serious
        dispatcher, now_s = self._room.dispatcher, self._now_s()
        alarms = (*alarms, *dispatcher.streams.alarms(now_s), *dispatcher.guarding.alarms(now_s), *self._wire_alarms())
        if self._room.dispatcher.latch.on:
            alarms = (*alarms, "The emergency stop is on.")
        return HealthView(ready=not serious, alarms=alarms, started_at_s=self._started_at_s, version=__version__)

    def fleet(self) -> FleetView:
        """The whole fleet in one line."""
        return fleet_view(self._room, self._now_s())

    async def sessions(self) -> Sequence[SessionView]:
        """Open sessions, worked out in portions."""
        return await session_list(self._room, self._now_s())

    async def storage(self) -> StorageView:
        """What lies on the disk; files are looked at on a thread of their own."""
        return await asyncio.to_thread(self._storage)

    def session_page(self, query: SessionQuery) -> SessionPage:
        """A part of the open sessions, filtered and sorted."""
        return session_page(self._room, query, self._now_s())

    def session(self, station_id: StationId, transaction_id: str) -> SessionView | Refusal:
        """One open session."""
        return session_view(self._room, station_id, TransactionId(transaction_id), self._now_s()) or Refusal(
            kind=RefusalKind.NOT_FOUND,
            sentence=f"Station {station_id} has no open session {transaction_id}.",
            remedy="GET /api/v1/sessions lists the open sessions.",
        )

    def dispatches(self, most: int | None = None) -> Sequence[DispatchView]:
        """All dispatches, newest first; with `most` only so many of the newest, and those that are open."""
        newest_first = sorted(self._room.dispatcher.book.instructions.values(), key=lambda item: item.accepted_at_s, reverse=True)
        shown = newest_first[:most]
        shown += [] if most is None else [item for item in newest_first[most:] if item.state in OPEN_STATES]
        return [view_of(self._room, instruction, self._now_s()) for instruction in shown]

    def dispatch(self, dispatch_id: DispatchId) -> DispatchView | Refusal:
        """One dispatch."""
        return dispatch_view(self._room, dispatch_id, self._now_s()) or no_dispatch(dispatch_id)

    def dispatch_by_key(self, idempotency_key: str) -> DispatchView | None:
        """The dispatch that was ordered under this key; None = none that is known."""
        dispatch_id = self._room.dispatcher.book.by_key.get(idempotency_key)
        return None if dispatch_id is None else dispatch_view(self._room, dispatch_id, self._now_s())

    def notices(self, after: str | None = None) -> AsyncIterator[Notice]:
        """What happens, as it happens."""
        return self._board.listen(after)

    # --- dispatches ----------------------------------------------------------------------------------------------------------

    async def order(self, order: DispatchOrder, idempotency_key: str | None, dry_run: bool) -> DispatchAnswer | Refusal:
        """Accept an order, or say why not. A repeated key returns the same dispatch, and refuses another order."""
        now_s, dispatcher = self._now_s(), self._room.dispatcher
        if idempotency_key is not None and idempotency_key in dispatcher.book.by_key:
            known = dispatcher.book.instructions[dispatcher.book.by_key[idempotency_key]]
            if known.order is not None and replace(known.order, ordered_by="") != replace(order, ordered_by=""):
                return Refusal(
                    kind=RefusalKind.INVALID,
                    sentence=f"The idempotency key '{idempotency_key}' was used for another order, dispatch {known.dispatch_id}.",
                    remedy="Take a new key for a new order; to change that dispatch, amend it.",
                )
            return DispatchAnswer(dispatch=view_of(self._room, known, now_s), repeated=True, dry_run=False)
        if dispatcher.latch.on:
            return Refusal(
                kind=RefusalKind.STOPPED,
                sentence="The emergency stop is on; no dispatch is accepted"
                + (", and what would be feasible is not told until it is reset." if dry_run else "."),
                remedy="Reset it first: DELETE /api/v1/emergency-stop (counterflow emergency-stop --reset).",
            )
        instruction = draw_up(
            order,
            dispatch_id=DispatchId(f"d-{self._new_id()}"),
            now_s=now_s,
            topology=self._room.topology,
            settings=self._room.settings.orders,
            idempotency_key=idempotency_key,
        )
        if isinstance(instruction, Refusal):
            return instruction
        conflicts = conflicts_of(instruction, dispatcher.book.in_state(*LIVE_STATES), self._room.topology)
        settled = settle_conflicts(instruction, conflicts, dispatcher.commitments.outranked(instruction, conflicts))
        losers = () if isinstance(settled, Refusal) else settled
        # Refused or not, the figures are those without the dispatches that it meets.
        instruction = with_feasibility(instruction, dispatcher.outlook.of(instruction, now_s, [other.dispatch_id for other in conflicts]))
        obstacle = settled if isinstance(settled, Refusal) else too_little(instruction) if order.require_full else None
        if not dry_run:
            if obstacle is not None:
                return obstacle
            dispatcher.states.displace(losers, instruction, now_s)
            dispatcher.accept(instruction, now_s)
            await self._settled()
            instruction = dispatcher.book.instructions[instruction.dispatch_id]
        return DispatchAnswer(
            dispatch=view_of(self._room, instruction, now_s),
            repeated=False,
            dry_run=dry_run,
            displaced=tuple(displacement(loser, instruction) for loser in losers),
            obstacle=obstacle,
            held_back=self._held_back(instruction, now_s) if dry_run else (),
        )

    def _held_back(self, instruction: DispatchInstruction, now_s: float) -> tuple[str, ...]:
        image = self._room.fleet.snapshot(now_s)
        window_s = instruction.end_s - max(now_s, instruction.start_s)
        able = self._room.dispatcher.outlook.capability_now(image, now_s + window_s)
        in_pool = image.occupied & self._room.topology.pool_mask(instruction.pool)[np.maximum(image.site, 0)]
        return held_back(able, in_pool, instruction.mode)

    async def amend(self, dispatch_id: DispatchId, amendment: Amendment, by: str) -> DispatchView | Refusal:
        """Change power or end of a dispatch."""
        now_s, dispatcher = self._now_s(), self._room.dispatcher
        instruction = dispatcher.book.instructions.get(dispatch_id)
        if instruction is None:
            return no_dispatch(dispatch_id)
        changed = amended(instruction, amendment, now_s)
        if isinstance(changed, Refusal):
            return changed
        conflicts = conflicts_of(changed, dispatcher.book.in_state(*LIVE_STATES), self._room.topology)
        losers = settle_conflicts(changed, conflicts, dispatcher.commitments.outranked(changed, conflicts))
        if isinstance(losers, Refusal):
            return losers
        dispatcher.states.displace(losers, changed, now_s)
        outlook = dispatcher.outlook.of(changed, now_s, [loser.dispatch_id for loser in losers])
        dispatcher.amend(with_feasibility(changed, outlook), now_s, by)
        await self._settled()
        return self.dispatch(dispatch_id)

    async def cancel(self, dispatch_id: DispatchId, by: str) -> DispatchView | Refusal:
        """Stop a dispatch; charging is resumed paced. Cancelling one that is over changes nothing."""
        instruction = self._room.dispatcher.book.instructions.get(dispatch_id)
        if instruction is None:
            return no_dispatch(dispatch_id)
        if instruction.state in LIVE_STATES:
            self._room.dispatcher.stop(dispatch_id, Move.CANCEL, ChangeReason.CANCELLED, self._now_s(), f"cancelled by {by}")
            await self._settled()
        return self.dispatch(dispatch_id)

    async def clear_all(self, by: str) -> ClearingView:
        """Cancel every dispatch, and clear every profile of ours everywhere: held cars paced, everything else at once."""
        now_s, dispatcher = self._now_s(), self._room.dispatcher
        for instruction in dispatcher.book.in_state(*LIVE_STATES):
            dispatcher.stop(instruction.dispatch_id, Move.CANCEL, ChangeReason.CANCELLED, now_s, f"clear-all by {by}")
        held: frozenset[SessionUid] = frozenset(dispatcher.book.owner)
        cleared = self._room.placement.clear_everything(held)
        paced = sum(record.session_uid in held for record in self._room.ledger)
        dispatcher.plan_next(now_s)
        await self._settled()
        return ClearingView(profiles=cleared + paced, paced=paced, paced_over_s=self._room.settings.resume.resume_over_s if paced else 0.0)

    async def emergency_stop(self, on: bool, by: str) -> FleetView:
        """Latch or reset the emergency stop."""
        self._room.dispatcher.emergency_stop(on, self._now_s(), by)
        await self._settled()
        return self.fleet()
