"""The ledger of offers: who committed to what, what that keeps from others, and what became of it. Kept over restarts."""

from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from counterflow.domain.delivery import DeliveryReport
from counterflow.domain.ids import DispatchId, PoolId
from counterflow.domain.instructions import DispatchInstruction, DispatchState
from counterflow.domain.offers import CallFigures, Commitment, CommitmentState, Offer
from counterflow.domain.records import DocumentKind
from counterflow.domain.units import DAY_S, format_power
from counterflow.domain.views import Notice, Refusal, RefusalKind
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.offers.ledger import (
    BINDING,
    OPEN,
    OfferMove,
    called_by,
    called_off,
    is_called,
    is_over,
    lapses,
    may,
    moved,
    reserved_w,
)
from counterflow.engine.ports import Journal

OFFERS_KEPT_S = 3_600.0
"""An offer to which nobody committed is forgotten so long after it has lapsed."""


class Commitments:
    """Single writer of the ledger."""

    def __init__(self, topology: Topology, journal: Journal, notify: Callable[[Notice], None], kept_days: int) -> None:
        self._topology = topology
        self._journal = journal
        self._notify = notify
        self._kept_days = kept_days
        self._all: dict[str, Commitment] = {}
        self._by_dispatch: dict[DispatchId, str] = {}

    def restore(self) -> None:
        """From the journal. One whose pool is not there any more holds nothing: it is withdrawn, or settled as it stands."""
        for _, record in self._journal.documents(DocumentKind.COMMITMENT):
            self._all[record.commitment_id] = record
            self._by_dispatch.update((call.dispatch_id, record.commitment_id) for call in record.calls)
        for record in tuple(self._all.values()):
            if record.offer.pool not in self._topology.pools() and record.state in OPEN:
                what = OfferMove.WITHDRAW if may(record, OfferMove.WITHDRAW) else OfferMove.SETTLE
                self._move(record, what, record.changed_at_s, f"the settings name no pool '{record.offer.pool}' any more")

    def all(self) -> list[Commitment]:
        """Offers and commitments, newest first."""
        return sorted(self._all.values(), key=lambda one: one.offer.made_at_s, reverse=True)

    def get(self, commitment_id: str) -> Commitment | None:
        """One of them."""
        return self._all.get(commitment_id)

    def of_dispatch(self, dispatch_id: DispatchId) -> Commitment | None:
        """The commitment that a dispatch calls."""
        return self._all.get(self._by_dispatch.get(dispatch_id, ""))

    def offered(self, offer: Offer) -> None:
        """An offer was made to somebody who may commit to it."""
        self._keep(Commitment(commitment_id=offer.offer_id, state=CommitmentState.OFFERED, changed_at_s=offer.made_at_s, offer=offer))

    def commit(self, offer_id: str, power_w: float | None, by: str, now_s: float) -> Commitment | Refusal:
        """Hold what was offered, or `power_w` of it, for `by`."""
        self.advance(now_s)
        found = self._all.get(offer_id)
        if found is None:
            return _unknown(offer_id)
        if not may(found, OfferMove.COMMIT):
            words = f" ({found.reason})" if found.reason else ""
            return Refusal(
                kind=RefusalKind.CONFLICT,
                sentence=f"Offer {offer_id} is {found.state.value}{words} and cannot be committed.",
                remedy="Ask for a new offer: GET /api/v1/offer (counterflow offer).",
            )
        taken_w = self.reserved_w(found.offer.pool, found.start_s, found.end_s) - found.offer.reserved_power_w
        left_w = max(0.0, found.offer.power_w - max(0.0, taken_w))
        wanted_w = left_w if power_w is None else power_w
        if wanted_w <= 0.0 or wanted_w > left_w * (1.0 + 1e-9):
            return Refusal(
                kind=RefusalKind.TOO_LITTLE,
                sentence=f"{format_power(left_w)} of offer {offer_id} can be committed.",
                remedy="Commit to that much or less, or ask for an offer with less confidence or a shorter window.",
            )
        committed = replace(found, power_w=wanted_w, committed_by=by, committed_at_s=now_s)
        return self._move(committed, OfferMove.COMMIT, now_s)

    def withdraw(self, commitment_id: str, by: str, now_s: float) -> Commitment | Refusal:
        """Take an offer or a commitment back before it was called."""
        self.advance(now_s)
        found = self._all.get(commitment_id)
        if found is None:
            return _unknown(commitment_id)
        if not may(found, OfferMove.WITHDRAW):
            return Refusal(
                kind=RefusalKind.CONFLICT,
                sentence=f"Commitment {commitment_id} is {found.state.value} and cannot be withdrawn.",
                remedy="A dispatch that calls it can be cancelled; counterflow commitments names it.",
            )
        return self._move(found, OfferMove.WITHDRAW, now_s, f"withdrawn by {by}")

    def reserved_w(self, pool: PoolId, start_s: float, end_s: float, without: str = "") -> float:
        """What commitments keep from an order for `pool` between two instants, W."""
        return reserved_w(self._all.values(), self._topology, pool=pool, start_s=start_s, end_s=end_s, without=without)

    def called(self, instruction: DispatchInstruction) -> Commitment | None:
        """The commitment that a dispatch calls, or would call if it was accepted."""
        known = self.of_dispatch(instruction.dispatch_id)
        if known is not None:
            return known
        return called_by(
            self._all.values(),
            by=instruction.ordered_by,
            pool=instruction.pool,
            start_s=instruction.start_s,
            end_s=instruction.end_s,
            mode=instruction.mode,
        )

    def accepted(self, instruction: DispatchInstruction, now_s: float) -> None:
        """A dispatch was taken into the book: if it calls a commitment, that is called, and delivering once the dispatch begins."""
        if self.of_dispatch(instruction.dispatch_id) is not None:
            return
        found = self.called(instruction)
        if found is not None:
            called = replace(found, calls=(*found.calls, CallFigures(dispatch_id=instruction.dispatch_id)))
            self._move(called, OfferMove.CALL, now_s)
            self._by_dispatch[instruction.dispatch_id] = found.commitment_id

    def begun(self, dispatch_id: DispatchId, now_s: float) -> None:
        """A dispatch has begun: the commitment that it calls, if there is one, is delivering."""
        found = self.of_dispatch(dispatch_id)
        if found is not None and may(found, OfferMove.BEGIN):
            self._move(found, OfferMove.BEGIN, now_s)

    def over(self, before: DispatchState | None, after: DispatchInstruction, now_s: float) -> None:
        """A dispatch was stored. One that was cancelled before it began calls nothing any more; what nobody else calls is owed as
        before, and its holder may order it again, or withdraw it. What we aborted stays called."""
        if after.state is not DispatchState.CANCELLED or before not in (None, DispatchState.SCHEDULED):
            return
        found = self.of_dispatch(after.dispatch_id)
        if found is None or not may(found, OfferMove.CALL_OFF):
            return
        found = called_off(found, after.dispatch_id)
        if is_called(found):
            self._keep(found)
        else:
            why = f"dispatch {after.dispatch_id} was cancelled before it began ({after.state_reason})"
            self._move(found, OfferMove.CALL_OFF, now_s, why)

    def catch_up(self, known: Mapping[DispatchId, DispatchInstruction], now_s: float) -> None:
        """After a start: what was called by dispatches that were cancelled meanwhile."""
        for dispatch_id in [call.dispatch_id for one in self.binding() for call in one.calls]:
            if dispatch_id in known:
                self.over(None, known[dispatch_id], now_s)

    def outranked(self, instruction: DispatchInstruction, others: Iterable[DispatchInstruction]) -> frozenset[DispatchId]:
        """Of `others`, those that give way to a dispatch that calls a commitment: those that call none.

        When the commitment was made nothing was accepted for its window, so that they came, or grew into it, later.
        """
        if self.called(instruction) is None:
            return frozenset()
        return frozenset(one.dispatch_id for one in others if self.of_dispatch(one.dispatch_id) is None)

    def settled(self, report: DeliveryReport) -> None:
        """A dispatch has a report: what it delivered counts for the commitment that it called, the newest version alone."""
        found = self.of_dispatch(report.dispatch_id)
        if found is None or not found.calls or not report.final:
            return
        before = next(call for call in found.calls if call.dispatch_id == report.dispatch_id)
        figures = replace(
            before,
            ordered_energy_wh=report.target_energy_wh,
            delivered_energy_wh=report.delivered_energy_wh,
            report_version=report.version,
            quality=report.quality,
        )
        self._keep(replace(found, calls=tuple(figures if call.dispatch_id == report.dispatch_id else call for call in found.calls)))

    def advance(self, now_s: float) -> None:
        """What time does: offers and commitments lapse, and what was called is settled when its window has passed and its dispatches have
        their reports."""
        for record in tuple(self._all.values()):
            if record.state not in OPEN:
                self._forget_if_old(record, now_s)
            elif why := lapses(record, now_s):
                self._move(record, OfferMove.LAPSE, now_s, why)
            elif is_over(record, now_s):
                self._move(record, OfferMove.SETTLE, now_s)

    def binding(self) -> list[Commitment]:
        """Those that keep something from others."""
        return [one for one in self._all.values() if one.state in BINDING]

    def _forget_if_old(self, record: Commitment, now_s: float) -> None:
        keep_s = self._kept_days * DAY_S if record.committed_at_s is not None else OFFERS_KEPT_S
        if now_s - record.changed_at_s > keep_s:
            del self._all[record.commitment_id]
            for call in record.calls:
                self._by_dispatch.pop(call.dispatch_id, None)
            self._journal.delete(DocumentKind.COMMITMENT, record.commitment_id)

    def _move(self, record: Commitment, what: OfferMove, now_s: float, reason: str = "") -> Commitment:
        after = moved(record, what, now_s, reason)
        self._keep(after)
        if after.committed_at_s is not None:
            self._notify(
                Notice(
                    at_s=now_s,
                    kind="commitment.state",
                    subject=after.commitment_id,
                    text=after.state.value,
                    values={"power_w": after.power_w, "reason": after.reason},
                )
            )
        return after

    def _keep(self, record: Commitment) -> None:
        self._all[record.commitment_id] = record
        self._journal.put(DocumentKind.COMMITMENT, record.commitment_id, record)


def _unknown(commitment_id: str) -> Refusal:
    return Refusal(
        kind=RefusalKind.NOT_FOUND,
        sentence=f"There is no offer or commitment '{commitment_id}'.",
        remedy="GET /api/v1/commitments (counterflow commitments) lists them.",
    )
