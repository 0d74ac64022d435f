"""Tables as the console shows them: plain columns, no row that moves while it is read."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from html import escape
from typing import Any

from nicegui import events, ui
from nicegui.elements.mixins.value_element import ValueElement


def table(
    columns: Sequence[tuple[str, str]], rows: list[dict[str, Any]], *, row_key: str, empty: str, numbers: Iterable[str] = ()
) -> ui.table:
    """Columns as (field, title). `empty` says in words what no row means; `numbers` are the fields that stand to the right."""
    made = ui.table(
        columns=[
            {"name": field, "label": title, "field": field, "align": "right" if field in numbers else "left"} for field, title in columns
        ],
        rows=rows,
        row_key=row_key,
    )
    _say_when_empty(made, empty)
    return made.classes("w-full").props("flat bordered dense wrap-cells")


_SORTS_BY_KEY = """<q-th :props="props" :tabindex="props.col.sortable ? 0 : null"
  @keydown.enter="props.col.sortable && props.sort(props.col)"
  @keydown.space.prevent="props.col.sortable && props.sort(props.col)">{{ props.col.label }}</q-th>"""
"""Titles that sort can be reached and pressed without a mouse."""


def show_rows(shown: ui.table, rows: list[dict[str, Any]]) -> None:
    """The rows as they are now; nothing is sent to the browser where nothing has changed."""
    if rows != shown.rows:
        shown.rows = rows
        shown.update()


def _say_when_empty(made: ui.table, empty: str) -> None:
    """A sentence in place of rows, without a warning sign: that there is nothing is no fault."""
    made.add_slot("no-data", f'<div class="cf-name q-py-sm">{escape(empty)}</div>')


def paged_table(
    columns: Sequence[tuple[str, str, str | None]], *, rows: int, row_key: str, empty: str, numbers: Iterable[str] = ()
) -> ui.table:
    """A table that the server pages: columns as (field, title, what the server sorts it by); `numbers` are those that stand to the right.

    The first column leads to `link` of its row.
    """
    told = [
        {"name": field, "label": title, "field": field, "align": "right" if field in numbers else "left", "sortable": by is not None}
        for field, title, by in columns
    ]
    made = ui.table(columns=told, rows=[], row_key=row_key, pagination={"rowsPerPage": rows, "page": 1, "rowsNumber": 0})
    made.classes("w-full").props('flat bordered dense wrap-cells :rows-per-page-options="[25,50,100]"')
    _say_when_empty(made, empty)
    made.add_slot("header-cell", _SORTS_BY_KEY)
    made.add_slot(
        f"body-cell-{columns[0][0]}",
        '<q-td :props="props"><a :href="props.row.link" class="cf-link">{{ props.value }}</a></q-td>',
    )
    return made


def asked_of(shown: ui.table, columns: Sequence[tuple[str, str, str | None]], first: str) -> dict[str, Any]:
    """What the server is asked for the rows that are in sight; sorted by `first` where nothing else was chosen."""
    now = shown.pagination
    size = now["rowsPerPage"]
    return {
        "sort": {field: by for field, _, by in columns}.get(now.get("sortBy") or "") or first,
        "descending": bool(now.get("descending")),
        "offset": (now["page"] - 1) * size,
        "limit": size,
    }


def keep_up(shown: ui.table, filters: Iterable[ValueElement[Any]], load: Callable[[], Awaitable[None]]) -> None:
    """`load` brings the rows when the viewer turns the page or sorts anew, and from the first page on when a filter changes."""

    async def asked(event: events.GenericEventArguments) -> None:
        shown.pagination = event.args["pagination"]
        await load()

    async def from_the_start() -> None:
        shown.pagination = {**shown.pagination, "page": 1}
        await load()

    shown.on("request", asked)
    for one in filters:
        one.on_value_change(from_the_start)


def show_page(shown: ui.table, rows: list[dict[str, Any]], matched: int) -> None:
    """The rows that came, of so many; nothing is sent to the browser where nothing has changed."""
    pagination = {**shown.pagination, "rowsNumber": matched}
    if rows == shown.rows and pagination == shown.pagination:
        return
    shown.rows, shown.pagination = rows, pagination
    shown.update()
