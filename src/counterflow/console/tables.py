"""Tables as the console shows them: plain columns, no row that moves while it is read."""

from collections.abc import Sequence
from typing import Any

from nicegui import ui


def table(columns: Sequence[tuple[str, str]], rows: list[dict[str, Any]], *, row_key: str, empty: str) -> ui.table:
    """Columns as (field, title). `empty` says in words what no row means."""
    made = ui.table(
        columns=[
            {"name": field, "label": title, "field": field, "align": "right" if field.endswith("#") else "left"} for field, title in columns
        ],
        rows=rows,
        row_key=row_key,
    )
    return made.classes("w-full").props(f'flat bordered dense wrap-cells no-data-label="{empty}"')
