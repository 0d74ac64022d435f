"""What can become of an offer: a table of moves, and what a commitment keeps from others."""

from collections.abc import Iterable
from enum import StrEnum

from msgspec.structs import replace

from counterflow.domain.ids import DispatchId, PoolId
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.offers import Commitment, CommitmentState
from counterflow.engine.fleet.topology import Topology


class OfferMove(StrEnum):
    """What can happen to an offer."""

    COMMIT = "commit"
    CALL = "call"
    CALL_OFF = "call off"
    BEGIN = "begin"
    SETTLE = "settle"
    WITHDRAW = "withdraw"
    LAPSE = "lapse"


MOVES: dict[tuple[CommitmentState, OfferMove], CommitmentState] = {
    (CommitmentState.OFFERED, OfferMove.COMMIT): CommitmentState.COMMITTED,
    (CommitmentState.OFFERED, OfferMove.WITHDRAW): CommitmentState.WITHDRAWN,
    (CommitmentState.OFFERED, OfferMove.LAPSE): CommitmentState.EXPIRED,
    (CommitmentState.COMMITTED, OfferMove.CALL): CommitmentState.CALLED,
    (CommitmentState.COMMITTED, OfferMove.WITHDRAW): CommitmentState.WITHDRAWN,
    (CommitmentState.COMMITTED, OfferMove.LAPSE): CommitmentState.EXPIRED,
    (CommitmentState.CALLED, OfferMove.CALL): CommitmentState.CALLED,
    (CommitmentState.CALLED, OfferMove.CALL_OFF): CommitmentState.COMMITTED,
    (CommitmentState.CALLED, OfferMove.BEGIN): CommitmentState.DELIVERING,
    (CommitmentState.CALLED, OfferMove.SETTLE): CommitmentState.SETTLED,
    (CommitmentState.DELIVERING, OfferMove.CALL): CommitmentState.DELIVERING,
    (CommitmentState.DELIVERING, OfferMove.SETTLE): CommitmentState.SETTLED,
}
"""The state table; a missing key is a broken rule. An offer lapses when nobody commits to it in time, a commitment when its window passes
and nothing was ordered. It begins to deliver when the first of the dispatches that call it begins; where all of them were cancelled
before that, it is owed as if nobody had called it: its holder may order again, or withdraw it. Where we aborted them, or the settings know
its pool no more, it is settled as called."""

COUNTS_MORE = (DispatchMode.NET_EXPORT, DispatchMode.GROSS_EXPORT, DispatchMode.RELATIVE)
"""Of what the same cars do each mode counts at least as much as the one before it: net export takes charging off, relative adds what is
given up of it. So what was promised in one is there for an order of the later ones, but not the other way round."""
SLACK_S = 1.0
"""By so much an order may begin before, or end after, the window of the commitment that it calls."""
BINDING = frozenset({CommitmentState.COMMITTED, CommitmentState.CALLED, CommitmentState.DELIVERING})
OPEN = BINDING | {CommitmentState.OFFERED}


def moved(commitment: Commitment, move: OfferMove, at_s: float, reason: str = "") -> Commitment:
    """The commitment after `move`. Raises KeyError when the state table does not know the move."""
    before = "" if move is OfferMove.CALL else commitment.reason
    return replace(commitment, state=MOVES[commitment.state, move], changed_at_s=at_s, reason=reason or before)


def may(commitment: Commitment, move: OfferMove) -> bool:
    """Whether the state table knows the move."""
    return (commitment.state, move) in MOVES


def lapses(commitment: Commitment, now_s: float) -> str:
    """Why an offer or a commitment is over by time alone, in words; empty = it is not."""
    if commitment.state is CommitmentState.OFFERED and now_s >= commitment.offer.valid_until_s:
        return "nobody committed to it in time"
    if commitment.state is CommitmentState.COMMITTED and now_s >= commitment.end_s:
        return "what was ordered in its window was called off" if commitment.calls else "nothing was ordered in its window"
    return ""


def called_off(commitment: Commitment, dispatch_id: DispatchId) -> Commitment:
    """The commitment, with a dispatch that called it and was cancelled before it began."""
    calls = tuple(replace(call, called_off=True) if call.dispatch_id == dispatch_id else call for call in commitment.calls)
    return replace(commitment, calls=calls)


def is_called(commitment: Commitment) -> bool:
    """Whether a dispatch calls it that was not called off."""
    return any(not call.called_off for call in commitment.calls)


def is_over(commitment: Commitment, now_s: float) -> bool:
    """Its window has passed, and every dispatch that called it has its final report."""
    known = all(call.delivered_energy_wh is not None for call in commitment.calls)
    return may(commitment, OfferMove.SETTLE) and now_s >= commitment.end_s and known


def reserved_w(
    commitments: Iterable[Commitment], topology: Topology, *, pool: PoolId, start_s: float, end_s: float, without: str = ""
) -> float:
    """What binding commitments keep from an order for `pool` between two instants, W: those whose pool shares a site with it, the most at
    any time. `without`: the commitment that the order itself calls."""
    held = [
        one
        for one in commitments
        if one.state in BINDING
        and one.commitment_id != without
        and one.start_s < end_s
        and start_s < one.end_s
        and bool((topology.pool_mask(one.offer.pool) & topology.pool_mask(pool)).any())
    ]
    instants_s = {max(start_s, one.start_s) for one in held}
    return max((sum(one.power_w for one in held if one.start_s <= at_s < one.end_s) for at_s in instants_s), default=0.0)


def called_by(
    commitments: Iterable[Commitment], *, by: str, pool: PoolId, start_s: float, end_s: float, mode: DispatchMode
) -> Commitment | None:
    """The commitment that an order calls: that of the same party, for the same pool, whose window holds the order's, and whose mode counts
    no more than the order's does."""
    fitting = [
        one
        for one in commitments
        if one.state in BINDING
        and one.committed_by == by
        and one.offer.pool == pool
        and COUNTS_MORE.index(one.offer.mode) <= COUNTS_MORE.index(mode)
        and one.start_s <= start_s + SLACK_S
        and end_s <= one.end_s + SLACK_S
    ]
    return min(fitting, key=lambda one: (one.start_s, one.commitment_id), default=None)
