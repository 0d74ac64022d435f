"""The orders of grid operators' wires as they stand, each with the dispatch that was made of it; kept over restarts."""

from collections.abc import Sequence

from counterflow.domain.dispatch_views import DispatchView
from counterflow.domain.grid import GridAnswer, GridOrder, GridOrderRecord, GridOutcome
from counterflow.domain.ids import DispatchId
from counterflow.domain.instructions import DispatchInstruction
from counterflow.domain.records import DocumentKind
from counterflow.domain.views import Refusal
from counterflow.engine.control.book import LIVE_STATES
from counterflow.engine.operations import Operations
from counterflow.engine.ports import Journal

STREAM_KEY = "(stream)"
"""Stands for the set-points of a program, which have no name of their own."""


class GridBook:
    """By program and key. What is written here is durable once the journal has settled."""

    def __init__(self, operations: Operations, journal: Journal) -> None:
        self._operations = operations
        self._journal = journal
        self._records: dict[tuple[str, str], GridOrderRecord] = {}

    def restore(self) -> None:
        """After a start, once the dispatches are known again."""
        for _, record in self._journal.documents(DocumentKind.GRID_ORDER):
            self._records[record.order.program, record.order.key] = record

    def all(self) -> Sequence[GridOrderRecord]:
        """Orders and streams."""
        return tuple(self._records.values())

    def get(self, program: str, key: str) -> GridOrderRecord | None:
        """What is known of an order."""
        return self._records.get((program, key))

    def put(
        self, order: GridOrder, known: GridOrderRecord | None, outcome: GridOutcome, dispatch: DispatchId | None, sentence: str = ""
    ) -> GridOrderRecord:
        """The next revision of an order. One that has the name of an order that is forgotten, and whose dispatches are known still, takes
        none of their keys."""
        revision = known.revision + 1 if known else 1
        while self._operations.dispatch_by_key(_key(order, revision)) is not None:
            revision += 1
        record = GridOrderRecord(
            order=order,
            revision=revision,
            heard_at_s=self._operations.now_s(),
            outcome=outcome,
            dispatch_id=dispatch,
            sentence=sentence,
        )
        self.write(record)
        return record

    def write(self, record: GridOrderRecord) -> None:
        """As it is."""
        self._records[record.order.program, record.order.key] = record
        self._journal.put(DocumentKind.GRID_ORDER, f"{record.order.program}/{record.order.key}", record)

    def forget(self, record: GridOrderRecord) -> None:
        """It is over for long."""
        del self._records[record.order.program, record.order.key]
        self._journal.delete(DocumentKind.GRID_ORDER, f"{record.order.program}/{record.order.key}")

    def live_of(self, record: GridOrderRecord | None) -> DispatchInstruction | None:
        """The dispatch of an order, if it is scheduled or runs."""
        if record is None:
            return None
        dispatch_id = record.dispatch_id or self.found_again(record) or self._former_of(record)
        view = None if dispatch_id is None else self._operations.dispatch(dispatch_id)
        return view.instruction if isinstance(view, DispatchView) and view.instruction.state in LIVE_STATES else None

    def found_again(self, record: GridOrderRecord) -> DispatchId | None:
        """A crash came between the dispatch and its record."""
        view = self._operations.dispatch_by_key(key_of(record))
        return None if view is None else view.instruction.dispatch_id

    def _former_of(self, record: GridOrderRecord) -> DispatchId | None:
        """A crash came between the record of a change and its dispatch: what the version before it left live."""
        before = (self._operations.dispatch_by_key(_key(record.order, revision)) for revision in range(record.revision - 1, 0, -1))
        live = (view.instruction.dispatch_id for view in before if view is not None and view.instruction.state in LIVE_STATES)
        return next(live, None)

    def is_half_done(self, record: GridOrderRecord) -> bool:
        """It was written down as a change, and what stands is still the version before it."""
        return record.dispatch_id is None and self.found_again(record) is None and self._former_of(record) is not None

    def answer_of(self, record: GridOrderRecord, outcome: GridOutcome) -> GridAnswer:
        """What a wire is told of an order."""
        live = self.live_of(record)
        return GridAnswer(
            outcome=outcome, dispatch_id=live.dispatch_id if live else record.dispatch_id, feasibility=live.feasibility if live else None
        )


def key_of(record: GridOrderRecord) -> str:
    """The key by which its dispatch is known again."""
    return _key(record.order, record.revision)


def _key(order: GridOrder, revision: int) -> str:
    return f"{order.program}/{order.key}/{revision}"


def refused(refusal: Refusal) -> GridAnswer:
    """A negative answer."""
    return GridAnswer(outcome=GridOutcome.REFUSED, refusal=refusal)
