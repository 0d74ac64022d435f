"""Tables that fit the terminal: the least important columns go first, one column of words takes what is left and wraps.

Numbers stand on the right and carry their unit in the header. Unknown is `-`, never zero. Whatever comes from a station is shown
with its control characters made visible, so that no station can write on somebody's terminal.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Generic, TypeVar

from msgspec import Struct
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from counterflow.domain.units import format_instant

UNKNOWN = "-"
_PADDING = 2
_LONGEST_WORD_CELL = 24
"""A cell of a fixed column is cut at this many characters, except in the first column, whose text is a name to type."""

Row = TypeVar("Row")


class Column(Struct, Generic[Row], frozen=True, kw_only=True):
    """One column. `rank` 0 always stays; of the others the highest rank goes first when the terminal is narrow."""

    header: str
    show: Callable[[Row], str]
    rank: int = 0
    right: bool = False
    wraps: bool = False
    """Takes the width that is left and wraps; at most one column of a table does, and never gets less than `least_width`."""
    least_width: int = 16


def column(header: str, show: Callable[[Row], str], rank: int = 0) -> Column[Row]:
    """A column of text."""
    return Column(header=header, show=show, rank=rank)


def figures(header: str, show: Callable[[Row], str], rank: int = 0) -> Column[Row]:
    """A column of numbers, on the right."""
    return Column(header=header, show=show, rank=rank, right=True)


def words(header: str, show: Callable[[Row], str], least_width: int = 16) -> Column[Row]:
    """The column that takes what is left."""
    return Column(header=header, show=show, wraps=True, least_width=least_width)


def build_table(rows: Sequence[Row], columns: Sequence[Column[Row]], width: int) -> tuple[Table, list[str]]:
    """A table of at most `width` characters, and the headers of the columns that had no room."""
    texts = {one.header: [visible(one.show(row)) for row in rows] for one in columns}
    keep = list(columns)
    widths = {one.header: _width_of(one, texts[one.header], first=place == 0) for place, one in enumerate(columns)}
    hidden: list[str] = []
    while _total(keep, widths) > width:
        droppable = [one for one in keep if one.rank > 0]
        if not droppable:
            break
        goes = max(droppable, key=lambda one: one.rank)
        keep.remove(goes)
        hidden.append(goes.header)
    table = Table(box=None, padding=(0, _PADDING, 0, 0), pad_edge=False, header_style="bold", show_edge=False)
    left = width - _total([one for one in keep if not one.wraps], widths) - _PADDING
    for one in keep:
        if one.wraps:
            wanted = max((cell_len(text) for text in texts[one.header]), default=0)
            room = max(one.least_width, min(left, max(wanted, cell_len(one.header))))
            table.add_column(one.header, width=room, overflow="fold")
        else:
            table.add_column(
                one.header, justify="right" if one.right else "left", no_wrap=True, overflow="ellipsis", width=widths[one.header]
            )
    for number in range(len(rows)):
        table.add_row(*(Text(texts[one.header][number]) for one in keep))
    return table, hidden


def print_table(console: Console, rows: Sequence[Row], columns: Sequence[Column[Row]], *, empty: str, note: str = "") -> None:
    """Print a table and a line of notes beneath it, or the sentence `empty` when there is nothing to show."""
    if not rows:
        console.print(Text(empty))
        return
    table, hidden = build_table(rows, columns, console.width)
    console.print(table)
    notes = [note] if note else []
    if hidden:
        notes.append(f"Not shown here: {', '.join(reversed(hidden))} (widen the terminal, or use --json).")
    if notes:
        console.print(Text(" ".join(notes), style="dim"))


def print_facts(console: Console, facts: Iterable[tuple[str, str]]) -> None:
    """Two columns: what it is, and its value, wrapped within the terminal."""
    grid = Table.grid(padding=(0, _PADDING, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts:
        grid.add_row(Text(name), Text(visible(value)))
    console.print(grid)


def say(console: Console, text: str, style: str = "") -> None:
    """One sentence, wrapped, with nothing in it taken for markup."""
    console.print(Text(visible(text), style=style))


def visible(text: str) -> str:
    """`text` with every character that is not printable made visible; line breaks become spaces."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else " " if one in "\r\n\t" else "\N{REPLACEMENT CHARACTER}" for one in text)


def kilo(value: float | None, digits: int = 1) -> str:
    """Watts or watt-hours in thousands, for a column whose header says kW or kWh."""
    return UNKNOWN if value is None else f"{_no_minus_zero(value / 1000.0, digits):.{digits}f}"


def percent(fraction: float | None) -> str:
    """A fraction 0..1 in per cent, for a column whose header says %."""
    return UNKNOWN if fraction is None else f"{_no_minus_zero(fraction * 100.0, 0):.0f}"


def whole(value: float | None) -> str:
    """A count, or seconds without decimals."""
    return UNKNOWN if value is None else f"{_no_minus_zero(value, 0):.0f}"


def span(seconds: float | None) -> str:
    """A length of time as one reads it: `3 s`, `2 min`, `5 h`, `3 d`."""
    if seconds is None:
        return UNKNOWN
    size = abs(seconds)
    sign = "-" if seconds < 0 and size >= 0.5 else ""
    if size < 90.0:
        return f"{sign}{size:.0f} s"
    if size < 5_400.0:
        return f"{sign}{size / 60.0:.0f} min"
    if size < 172_800.0:
        return f"{sign}{size / 3600.0:.0f} h"
    return f"{sign}{size / 86_400.0:.0f} d"


def clock(at_s: float | None, now_s: float) -> str:
    """An instant in UTC: the time of day, with its date when that is not within half a day of `now_s`."""
    if at_s is None:
        return UNKNOWN
    try:
        moment = datetime.fromtimestamp(at_s, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return UNKNOWN
    return moment.strftime("%H:%M:%S" if abs(at_s - now_s) < 43_200.0 else "%Y-%m-%d %H:%M")


def instant(at_s: float | None) -> str:
    """An instant in full, UTC."""
    return UNKNOWN if at_s is None else format_instant(float(round(at_s)))


def yes_no(value: bool | None) -> str:
    """A yes or no, or unknown."""
    return UNKNOWN if value is None else "yes" if value else "no"


def _no_minus_zero(value: float, digits: int) -> float:
    rounded = round(value, digits)
    return 0.0 if rounded == 0.0 else value


def _width_of(one: Column[Row], texts: Sequence[str], *, first: bool) -> int:
    head = cell_len(one.header)
    if one.wraps:
        return max(head, one.least_width)
    body = max((cell_len(text) for text in texts), default=0)
    return max(head, body if first else min(body, _LONGEST_WORD_CELL))


def _total(columns: Sequence[Column[Row]], widths: dict[str, int]) -> int:
    return sum(widths[one.header] + _PADDING for one in columns)
