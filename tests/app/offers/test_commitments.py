"""The ledger of offers after a restart with other settings, and how it forgets."""

from typing import Any, cast

import pytest
from msgspec.structs import replace

from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.adapters.web.examples import EXAMPLES
from counterflow.app.offers.commitments import OFFERS_KEPT_S, Commitments
from counterflow.domain.delivery import DeliveryReport
from counterflow.domain.ids import DispatchId, PoolId
from counterflow.domain.offers import CallFigures, Commitment, CommitmentState, Offer
from counterflow.domain.records import DocumentKind
from counterflow.domain.units import DAY_S
from counterflow.domain.views import Refusal
from counterflow.engine.fleet.topology import Topology

OFFER = cast(Offer, EXAMPLES[Offer])
NOW_S = OFFER.made_at_s


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


def ledger(journal: MemoryJournal) -> Commitments:
    made = Commitments(Topology(()), journal, lambda _: None, 400)
    made.restore()
    return made


def kept(journal: MemoryJournal, state: CommitmentState, *, pool: str = "all", calls: Any = ()) -> None:
    record = Commitment(
        commitment_id="o-1",
        state=state,
        changed_at_s=NOW_S,
        offer=replace(OFFER, offer_id="o-1", pool=PoolId(pool)),
        power_w=5e3,
        committed_by="api:tso",
        committed_at_s=NOW_S,
        calls=calls,
    )
    journal.put(DocumentKind.COMMITMENT, "o-1", record)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (CommitmentState.COMMITTED, CommitmentState.WITHDRAWN),
        (CommitmentState.CALLED, CommitmentState.SETTLED),
        (CommitmentState.DELIVERING, CommitmentState.SETTLED),
        (CommitmentState.EXPIRED, CommitmentState.EXPIRED),
    ],
)
def test_a_commitment_for_a_pool_that_is_not_there_any_more_holds_nothing(
    journal: MemoryJournal, before: CommitmentState, after: CommitmentState
) -> None:
    kept(journal, before, pool="gone")
    found = ledger(journal)
    [one] = found.all()
    assert one.state is after
    assert found.reserved_w(PoolId("all"), NOW_S, NOW_S + 60.0) == 0.0
    assert found.binding() == []


def test_reports_count_for_the_dispatch_that_they_are_of_once_they_are_final(journal: MemoryJournal) -> None:
    kept(
        journal, CommitmentState.DELIVERING, calls=(CallFigures(dispatch_id=DispatchId("d-1")), CallFigures(dispatch_id=DispatchId("d-2")))
    )
    found = ledger(journal)
    report = replace(cast(DeliveryReport, EXAMPLES[DeliveryReport]), dispatch_id=DispatchId("d-2"))
    found.settled(replace(report, final=False))
    found.settled(replace(report, dispatch_id=DispatchId("d-elsewhere")))
    assert all(call.delivered_energy_wh is None for call in found.all()[0].calls)
    found.settled(replace(report, final=True))
    assert [call.delivered_energy_wh for call in found.all()[0].calls] == [None, report.delivered_energy_wh]
    found.advance(NOW_S + DAY_S)
    assert found.all()[0].state is CommitmentState.DELIVERING, "the other has no report yet"


def test_offers_are_forgotten_soon_and_commitments_when_they_are_old(journal: MemoryJournal) -> None:
    found = ledger(journal)
    found.offered(OFFER)
    found.advance(OFFER.valid_until_s)
    assert found.all()[0].state is CommitmentState.EXPIRED
    assert isinstance(found.commit(OFFER.offer_id, None, "x", OFFER.valid_until_s), Refusal)
    found.advance(OFFER.valid_until_s + OFFERS_KEPT_S + 1.0)
    assert found.all() == []
    kept(journal, CommitmentState.SETTLED, calls=(CallFigures(dispatch_id=DispatchId("d-1")),))
    again = ledger(journal)
    again.advance(NOW_S + 399 * DAY_S)
    assert again.of_dispatch(DispatchId("d-1")) is not None
    again.advance(NOW_S + 401 * DAY_S)
    assert again.of_dispatch(DispatchId("d-1")) is None
    assert not list(journal.documents(DocumentKind.COMMITMENT))
