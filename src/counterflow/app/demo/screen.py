"""The demo's one calm screen: figures that change in place, and two lines that draw themselves."""

from collections.abc import Sequence

from msgspec import Struct
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from counterflow.app.demo.verdict import GRACE_S, MEAN_S, SETTLE_S, TOLERANCE_FRAC
from counterflow.domain.units import format_power

_BARS = " ▁▂▃▄▅▆▇█"
_LINE_WIDTH = 60
_FULL_SHARE = 1.2
"""The share of the target at which a bar is full."""
_MEAN_ENTRIES = round(MEAN_S)


class Figures(Struct, kw_only=True):
    """What the screen shows; None is shown as a dash."""

    phase: str = "starting"
    elapsed_s: float = 0.0
    duration_s: float = 1.0
    target_w: float | None = None
    delivered_w: float | None = None
    true_w: float | None = None
    headroom_w: float | None = None
    sessions: int = 0
    discharging: int = 0
    drop_outs: int = 0
    messages: int = 0
    stations: int = 0
    history: list[float]
    """Delivered as a share of the target, one entry a second."""


def render(figures: Figures) -> RenderableType:
    """The whole screen, 80 columns wide."""
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="dim", width=22)
    table.add_column(justify="right", width=10)
    table.add_column(justify="right", style="dim", width=14)
    table.add_column(justify="right", width=8)
    table.add_row("target", _power(figures.target_w), "stations", str(figures.stations))
    table.add_row("delivered", _power(figures.delivered_w), "sessions", str(figures.sessions))
    table.add_row("error (10 s mean)", _error(figures), "discharging", str(figures.discharging))
    table.add_row("headroom", _power(figures.headroom_w), "drop-outs", str(figures.drop_outs))
    table.add_row("true power (simulator)", _power(figures.true_w), "messages sent", str(figures.messages))
    done = round(_LINE_WIDTH * max(0.0, min(1.0, figures.elapsed_s / figures.duration_s)))
    bar = Text.assemble(("━" * done, "cyan"), ("─" * (_LINE_WIDTH - done), "dim"), f" {_left(figures)}")
    line = Text(sparkline(figures.history).ljust(_LINE_WIDTH), style="cyan")
    scale = Text(f"delivered, 0 to {_FULL_SHARE:.0%} of the target:", style="dim")
    promise = Text(
        f"Promise: 10 s means within ±{TOLERANCE_FRAC:.0%} of the target, from {SETTLE_S:.0f} s after\n"
        f"the start, but for {GRACE_S:.0f} s after cars leave.",
        style="dim",
    )
    body = Group(table, Text(), scale, line, bar, Text(), promise, Text(), Text(figures.phase, style="italic"))
    return Panel(body, title="Counterflow", width=80, padding=(1, 2))


def plain(figures: Figures) -> str:
    """The same in one line, for a terminal that cannot redraw."""
    return (
        f"{figures.phase}: {figures.elapsed_s:4.0f} s  target {_power(figures.target_w)}  delivered {_power(figures.delivered_w)}  "
        f"headroom {_power(figures.headroom_w)}  sessions {figures.sessions}  drop-outs {figures.drop_outs}  messages {figures.messages}"
    )


def sparkline(shares: Sequence[float], width: int = _LINE_WIDTH) -> str:
    """Shares (0..1.2) as bars, squeezed to `width` characters; each bar is the mean of its stretch."""
    if not shares:
        return ""
    count = min(width, len(shares))
    bars = []
    for index in range(count):
        stretch = shares[index * len(shares) // count : (index + 1) * len(shares) // count]
        level = max(0.0, min(1.0, sum(stretch) / len(stretch) / _FULL_SHARE))
        bars.append(_BARS[round(level * (len(_BARS) - 1))])
    return "".join(bars)


def _power(power_w: float | None) -> str:
    return "-" if power_w is None else format_power(power_w)


def _left(figures: Figures) -> str:
    left_s = max(0.0, figures.duration_s - figures.elapsed_s)
    return f"{int(left_s // 60)}:{int(left_s % 60):02d} left"


def _error(figures: Figures) -> str:
    """What the promise is about; while the cars come up there is nothing to judge yet."""
    if figures.target_w is None or figures.delivered_w is None or figures.target_w <= 0.0:
        return "-"
    if figures.elapsed_s < SETTLE_S or len(figures.history) < _MEAN_ENTRIES:
        return "ramping"
    return f"{100.0 * (sum(figures.history[-_MEAN_ENTRIES:]) / _MEAN_ENTRIES - 1.0):+.1f} %"
