"""What happens, as a program's system is told of it: how its orders stand, and that a report is ready."""

from collections.abc import Callable, Sequence

from counterflow.domain.dispatch_views import DispatchView
from counterflow.domain.grid import GridOrderRecord
from counterflow.domain.ids import DispatchId
from counterflow.domain.program_translation import Terms, instant
from counterflow.domain.program_words import OrdersWords, ReportWords
from counterflow.domain.views import Notice

ViewOf = Callable[[DispatchId], DispatchView | None]

CHANGES = frozenset({"dispatch.accepted", "dispatch.amended", "dispatch.displaced", "dispatch.state"})
REPORTED = "dispatch.report"
SHOWN_AFTER_S = 86_400.0
MOST_SHOWN = 200


def concerns(terms: Terms, notice: Notice, view_of: ViewOf) -> bool:
    """An order of this program stands otherwise now, or a report of it is ready."""
    if notice.kind == "grid.order":
        return notice.subject.startswith(f"{terms.program.name}/")
    if notice.kind not in CHANGES and notice.kind != REPORTED:
        return False
    view = view_of(DispatchId(notice.subject))
    return view is not None and view.instruction.ordered_by == f"{terms.program.wire}:{terms.program.name}"


def orders_words(terms: Terms, records: Sequence[GridOrderRecord], view_of: ViewOf, now_s: float) -> OrdersWords:
    """The orders that are to come, run, or have ended within a day; the newest of very many, in the order of their end."""
    shown = sorted((one for one in records if one.order.end_s > now_s - SHOWN_AFTER_S), key=lambda one: one.order.end_s)[-MOST_SHOWN:]
    return OrdersWords(
        program=terms.program.called,
        at=instant(now_s),
        sign=terms.sign,
        unit=terms.unit,
        orders=tuple(terms.standing(one, view_of(one.dispatch_id) if one.dispatch_id else None) for one in shown),
    )


def report_words(terms: Terms, notice: Notice, records: Sequence[GridOrderRecord]) -> ReportWords | None:
    """That a report is ready, if that is what the notice says."""
    if notice.kind != REPORTED:
        return None
    key = next((one.order.key for one in records if one.dispatch_id == notice.subject), None)
    return ReportWords(
        program=terms.program.called,
        key=key,
        dispatch_id=notice.subject,
        at=instant(notice.at_s),
        final=bool(notice.values.get("final")),
        path=f"/api/v1/dispatches/{notice.subject}/report",
    )
