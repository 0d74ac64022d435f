"""Text, pairs and tables on a page, from top to bottom; all places are shares of the page."""

from collections.abc import Sequence
from textwrap import wrap
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

INK = "#1d2733"
GREY = "#6b7683"
ACCENT = "#0b6fb8"
LEFT, RIGHT, TOP, BOTTOM = 0.085, 0.915, 0.945, 0.06

_HAIR = "#c9d1da"
_ZEBRA = "#f3f6f9"
_ROW = 0.0163
_WIDE = 106
"""Letters of 8.5 pt on a line."""


class Table(NamedTuple):
    """Cells as text; the first column stands left, the others right, unless their width is negative."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    widths: Sequence[float]
    """Shares of the table's width; negative = the column stands left."""
    total: Sequence[str] = ()

    def part(self, begin: int, end: int) -> "Table":
        """Some of the rows; the total stands below the last."""
        return self._replace(rows=self.rows[begin:end], total=self.total if end >= len(self.rows) else ())


class Page:
    """Writes downwards; `y` is where the next thing goes."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self.y = TOP

    def put(
        self, x: float, y: float, text: str, *, size: float = 8.5, colour: str = INK, weight: str = "normal", align: str = "left"
    ) -> None:
        """A text at a place of its own; nothing in it is taken for mathematics."""
        self.figure.text(x, y, text, fontsize=size, color=colour, weight=weight, ha=align, va="center", parse_math=False)

    def text(self, text: str, *, size: float, down: float, colour: str = INK, weight: str = "normal") -> None:
        """A line, and on by `down`."""
        self.put(LEFT, self.y, text, size=size, colour=colour, weight=weight)
        self.y -= down

    def heading(self, text: str) -> None:
        """The title of a part."""
        self.y -= 0.006
        self.text(text, size=11.5, weight="bold", down=0.021)

    def paragraph(self, text: str, *, colour: str = INK) -> None:
        """A sentence or more, wrapped."""
        for line in wrap(text, _WIDE):
            self.text(line, size=8.5, colour=colour, down=0.0148)
        self.y -= 0.003

    def rule(self) -> None:
        """A line across the page."""
        self._line(self.y + 0.008, INK, 0.9)
        self.y -= 0.008

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Names and values in two columns."""
        half = (len(pairs) + 1) // 2
        middle = 0.5 * (LEFT + RIGHT)
        for place, (name, value) in enumerate(pairs):
            x = LEFT if place < half else middle
            y = self.y - (place % half if place < half else place - half) * 0.0165
            self.put(x, y, name, colour=GREY)
            self.put(x + 0.115, y, value)
        self.y -= half * 0.0165 + 0.006

    def room_for(self) -> int:
        """How many rows of a table still fit."""
        return int((self.y - BOTTOM) / _ROW)

    def table(self, table: Table) -> None:
        """A table with hairlines and every other row shaded."""
        columns = self._columns(table.widths)
        self._cells(table.header, columns, colour=GREY, size=7.5)
        self._line(self.y - 0.5 * _ROW, INK, 0.7)
        self.y -= _ROW
        for number, row in enumerate(table.rows):
            if number % 2:
                self.figure.add_artist(
                    Rectangle((LEFT - 0.006, self.y - 0.5 * _ROW), RIGHT - LEFT + 0.012, _ROW, color=_ZEBRA, linewidth=0, zorder=0)
                )
            self._cells(row, columns)
            self.y -= _ROW
        self._line(self.y + 0.5 * _ROW, _HAIR if not table.total else INK, 0.7)
        if table.total:
            self._cells(table.total, columns, weight="bold")
            self.y -= _ROW
        self.y -= 0.008

    def _columns(self, widths: Sequence[float]) -> list[tuple[float, str]]:
        """Where each column's text stands, and by which edge."""
        scale = (RIGHT - LEFT) / sum(map(abs, widths))
        at, found = LEFT, list[tuple[float, str]]()
        for place, width in enumerate(widths):
            begin, at = at, at + abs(width) * scale
            stands_left = place == 0 or width < 0.0
            found.append((begin + 0.012 if stands_left and place else begin if stands_left else at, "left" if stands_left else "right"))
        return found

    def _cells(
        self, cells: Sequence[str], columns: Sequence[tuple[float, str]], *, colour: str = INK, size: float = 8, weight: str = "normal"
    ) -> None:
        for text, (x, align) in zip(cells, columns, strict=True):
            self.put(x, self.y, _with_minus(text), size=size, colour=colour, weight=weight, align=align)

    def _line(self, y: float, colour: str, width: float) -> None:
        self.figure.add_artist(Line2D([LEFT, RIGHT], [y, y], color=colour, linewidth=width))


def _with_minus(text: str) -> str:
    """A figure below zero with a minus as wide as a plus; anything else as it is."""
    return f"\N{MINUS SIGN}{text[1:]}" if text[:1] == "-" and text[1:2].isdigit() else text
