"""Tables as the console shows them: plain columns, no row that moves while it is read, and none where nothing is known."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from math import ceil
from typing import Any

from nicegui import events, ui
from nicegui.elements.mixins.value_element import ValueElement

from counterflow.console.asking import NOT_YET

_NO_DATA = """<div class="cf-name q-py-sm">{{ props.message }}</div>"""
"""A sentence in place of rows, without a warning sign: that there is nothing is no fault."""
_SORTS_BY_KEY = """<q-th :props="props" :tabindex="props.col.sortable ? 0 : null"
  @keydown.enter="props.col.sortable && props.sort(props.col)"
  @keydown.space.prevent="props.col.sortable && props.sort(props.col)">{{ props.col.label }}</q-th>"""
"""Titles that sort can be reached and pressed without a mouse."""


class Rows(ui.table):
    """Rows of an answer. That there are none is said only once the server has said so; until then, that it is not known."""

    def __init__(self, columns: list[dict[str, Any]], row_key: str, empty: str, pagination: dict[str, Any] | None = None) -> None:
        """`empty` says in words what no row means."""
        super().__init__(columns=columns, rows=[], row_key=row_key, pagination=pagination)
        self._empty = empty
        self._is_known = False
        self._say_instead(NOT_YET)
        self.add_slot("no-data", _NO_DATA)
        self.classes("w-full").props("flat bordered dense wrap-cells")

    def show(self, rows: list[dict[str, Any]]) -> None:
        """The rows as they are now; nothing is sent to the browser where nothing has changed."""
        self._bring(rows, self.pagination)

    def show_page(self, rows: list[dict[str, Any]], matched: int) -> None:
        """The rows that came, of so many that match; where fewer are left than the page begins with, the next look brings the last page."""
        pagination = {**self.pagination, "rowsNumber": matched}
        last = max(1, ceil(matched / pagination["rowsPerPage"]))
        if pagination["page"] > last:
            self.pagination = {**pagination, "page": last}
            self.forget()
        else:
            self._bring(rows, pagination)

    def forget(self) -> None:
        """Something else is asked than what the rows answer."""
        self._is_known = False
        self.props["loading"] = True
        self.update()

    def say(self, why_not: str) -> str:
        """Why there was no answer; what came last stays where it still answers what is asked. Empty = there was one.

        Returns what is to be said beside it: where rows are shown, that they are old; where there are none, they say so themselves.
        """
        if not why_not or self._is_known:
            return why_not
        self._say_instead(f"Not known: {why_not}")
        self.props["loading"] = False
        self.rows = []
        self.update()
        return ""

    def stay(self, told: events.ValueChangeEventArguments[dict[str, Any]]) -> None:
        """A browser tells of the first page as it makes the table, maybe after the viewer turned it: what was asked counts."""
        self.pagination = told.previous_value or self.pagination

    def _bring(self, rows: list[dict[str, Any]], pagination: dict[str, Any]) -> None:
        if self._is_known and rows == self.rows and pagination == self.pagination:
            return
        self._is_known = True
        self._say_instead(self._empty)
        self.props["loading"] = False
        self.rows, self.pagination = rows, pagination
        self.update()

    def _say_instead(self, sentence: str) -> None:
        self.props["no-data-label"] = sentence


def table(columns: Sequence[tuple[str, str]], rows: list[dict[str, Any]], *, row_key: str, empty: str, numbers: Iterable[str] = ()) -> Rows:
    """Columns as (field, title); `numbers` are the fields that stand to the right. `rows` are known already; none = none is known yet."""
    told = [{"name": field, "label": title, "field": field, "align": "right" if field in numbers else "left"} for field, title in columns]
    made = Rows(told, row_key, empty)
    if rows:
        made.show(rows)
    return made


def paged_table(
    columns: Sequence[tuple[str, str, str | None]], *, rows: int, row_key: str, empty: str, numbers: Iterable[str] = ()
) -> Rows:
    """A table that the server pages: columns as (field, title, what the server sorts it by); `numbers` are those that stand to the right.

    The first column leads to `link` of its row.
    """
    told = [
        {"name": field, "label": title, "field": field, "align": "right" if field in numbers else "left", "sortable": by is not None}
        for field, title, by in columns
    ]
    made = Rows(told, row_key, empty, {"rowsPerPage": rows, "page": 1, "rowsNumber": 0})
    made.on_pagination_change(made.stay)
    made.classes("cf-paged").props(':rows-per-page-options="[25,50,100]"')
    made.add_slot("header-cell", _SORTS_BY_KEY)
    made.add_slot(
        f"body-cell-{columns[0][0]}",
        '<q-td :props="props"><a :href="props.row.link" class="cf-link">{{ props.value }}</a></q-td>',
    )
    return made


def asked_of(shown: Rows, columns: Sequence[tuple[str, str, str | None]], first: str) -> dict[str, Any]:
    """What the server is asked for the rows that are in sight; sorted by `first` where nothing else was chosen."""
    now = shown.pagination
    size = now["rowsPerPage"]
    return {
        "sort": {field: by for field, _, by in columns}.get(now.get("sortBy") or "") or first,
        "descending": bool(now.get("descending")),
        "offset": (now["page"] - 1) * size,
        "limit": size,
    }


def keep_up(shown: Rows, filters: Iterable[ValueElement[Any]], ask: Callable[[], Awaitable[None]]) -> None:
    """`ask` brings the rows when the viewer turns the page or sorts anew, and from the first page on when a filter changes."""

    async def asked(event: events.GenericEventArguments) -> None:
        shown.pagination = event.args["pagination"]
        shown.forget()
        await ask()

    async def from_the_start() -> None:
        shown.pagination = {**shown.pagination, "page": 1}
        shown.forget()
        await ask()

    shown.on("request", asked)
    for one in filters:
        one.on_value_change(from_the_start)
