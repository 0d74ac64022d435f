"""What can become of an offer: every state with every move, and what a commitment keeps from others."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from counterflow.adapters.web.examples import EXAMPLES
from counterflow.domain.ids import DispatchId, PoolId
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.offers import CallFigures, Commitment, CommitmentState, Offer
from counterflow.domain.resources import Site
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.offers.ledger import (
    BINDING,
    MOVES,
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

TOPOLOGY = Topology(
    tuple(
        msgspec.convert({"site_id": name, "pools": pools}, Site)
        for name, pools in (("a", ["north", "mine"]), ("b", ["south"]), ("c", ["mine"]))
    )
)
OFFER = msgspec.convert(msgspec.to_builtins(EXAMPLES[Offer]), Offer)


def made(
    state: CommitmentState,
    *,
    name: str = "o-1",
    start_s: float = 1_000.0,
    window_s: float = 900.0,
    pool: str = "north",
    power_w: float = 5e4,
    calls: tuple[CallFigures, ...] = (),
) -> Commitment:
    offer = replace(OFFER, start_s=start_s, window_s=window_s, valid_until_s=start_s, pool=PoolId(pool))
    return Commitment(
        commitment_id=name, state=state, changed_at_s=0.0, offer=offer, power_w=power_w, committed_by="tso", committed_at_s=0.0, calls=calls
    )


@pytest.mark.parametrize("state", CommitmentState)
@pytest.mark.parametrize("move", OfferMove)
def test_every_state_with_every_move(state: CommitmentState, move: OfferMove) -> None:
    before = made(state)
    if (state, move) in MOVES:
        assert may(before, move)
        after = moved(before, move, 7.0, "because")
        assert (after.state, after.changed_at_s, after.reason) == (MOVES[state, move], 7.0, "because")
    else:
        assert not may(before, move)
        with pytest.raises(KeyError):
            moved(before, move, 7.0)


def test_nothing_leads_out_of_an_end_and_every_state_is_reached() -> None:
    ends = set(CommitmentState) - OPEN
    assert {before for before, _ in MOVES} == OPEN
    assert ends == {CommitmentState.SETTLED, CommitmentState.EXPIRED, CommitmentState.WITHDRAWN}
    assert set(MOVES.values()) | {CommitmentState.OFFERED} == set(CommitmentState)
    assert {before for before, move in MOVES if move is OfferMove.SETTLE} == {CommitmentState.CALLED, CommitmentState.DELIVERING}
    assert {before for before, move in MOVES if move is OfferMove.WITHDRAW} == {CommitmentState.OFFERED, CommitmentState.COMMITTED}


def test_offers_lapse_with_their_validity_and_commitments_with_their_window() -> None:
    offered, committed = made(CommitmentState.OFFERED), made(CommitmentState.COMMITTED)
    assert not lapses(offered, 999.0)
    assert lapses(offered, 1_000.0) == "nobody committed to it in time"
    assert not lapses(committed, 1_899.0)
    assert lapses(committed, 1_900.0) == "nothing was ordered in its window"
    assert not lapses(made(CommitmentState.DELIVERING), 9e9)


def test_it_is_over_when_the_window_has_passed_and_every_dispatch_is_settled() -> None:
    open_call = CallFigures(dispatch_id=DispatchId("d-1"))
    settled = replace(open_call, ordered_energy_wh=5.0, delivered_energy_wh=4.0)
    assert not is_over(made(CommitmentState.DELIVERING, calls=(open_call,)), 5_000.0)
    assert not is_over(made(CommitmentState.DELIVERING, calls=(settled,)), 1_500.0)
    assert is_over(made(CommitmentState.DELIVERING, calls=(settled,)), 5_000.0)
    assert not is_over(made(CommitmentState.COMMITTED), 5_000.0)
    assert is_over(made(CommitmentState.CALLED, calls=(settled,)), 5_000.0), "aborted before it began"
    assert not lapses(made(CommitmentState.CALLED, calls=(open_call,)), 9e9)


def test_what_was_called_off_calls_nothing_and_is_told() -> None:
    two = made(CommitmentState.CALLED, calls=tuple(CallFigures(dispatch_id=DispatchId(name)) for name in ("d-1", "d-2")))
    one_off = called_off(two, DispatchId("d-1"))
    assert [call.called_off for call in one_off.calls] == [True, False]
    assert is_called(one_off)
    both_off = called_off(one_off, DispatchId("d-2"))
    assert not is_called(both_off)
    owed = moved(both_off, OfferMove.CALL_OFF, 7.0, "both were cancelled")
    assert lapses(owed, 1_900.0) == "what was ordered in its window was called off"
    assert moved(owed, OfferMove.CALL, 8.0).reason == "", "it is called again"


def test_what_is_held_is_the_most_at_any_time_of_those_who_share_a_site() -> None:
    held = [
        made(CommitmentState.COMMITTED, name="one"),
        made(CommitmentState.DELIVERING, name="two", start_s=1_800.0, power_w=3e4),
        made(CommitmentState.COMMITTED, name="far", pool="south", power_w=9e9),
        made(CommitmentState.OFFERED, name="not yet", power_w=9e9),
        made(CommitmentState.SETTLED, name="over", power_w=9e9),
    ]
    assert reserved_w(held, TOPOLOGY, pool=PoolId("mine"), start_s=0.0, end_s=9_999.0) == 8e4
    assert reserved_w(held, TOPOLOGY, pool=PoolId("mine"), start_s=2_000.0, end_s=9_999.0) == 3e4
    assert reserved_w(held, TOPOLOGY, pool=PoolId("mine"), start_s=0.0, end_s=9_999.0, without="one") == 3e4
    assert reserved_w(held, TOPOLOGY, pool=PoolId("mine"), start_s=0.0, end_s=1_000.0) == 0.0
    assert {CommitmentState.COMMITTED, CommitmentState.CALLED, CommitmentState.DELIVERING} == BINDING


def test_an_order_calls_the_commitment_of_its_own_party_pool_and_window() -> None:
    held = [made(CommitmentState.COMMITTED, name="one"), made(CommitmentState.OFFERED, name="no")]
    fits: dict[str, Any] = {
        "by": "tso", "pool": PoolId("north"), "start_s": 1_000.0, "end_s": 1_900.0, "mode": DispatchMode.NET_EXPORT
    }  # fmt: skip
    found = called_by(held, **fits)
    assert found is not None
    assert found.commitment_id == "one"
    for other in ({"by": "x"}, {"pool": PoolId("all")}, {"start_s": 990.0}, {"end_s": 2_000.0}):
        assert called_by(held, **(fits | other)) is None


def test_what_was_promised_in_one_mode_is_there_for_orders_that_count_as_much_or_more() -> None:
    fits: dict[str, Any] = {"by": "tso", "pool": PoolId("north"), "start_s": 1_000.0, "end_s": 1_900.0}
    modes = (DispatchMode.NET_EXPORT, DispatchMode.GROSS_EXPORT, DispatchMode.RELATIVE)
    for place, promised in enumerate(modes):
        one = made(CommitmentState.COMMITTED)
        held = [replace(one, offer=replace(one.offer, mode=promised))]
        calls = [called_by(held, **fits, mode=ordered) is not None for ordered in modes]
        assert calls == [False] * place + [True] * (3 - place), promised
