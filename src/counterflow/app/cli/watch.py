"""`counterflow watch` and `--watch`: a calm view of one dispatch until it ends. It only looks; leaving it changes nothing."""

from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from counterflow.app.cli.api_client import ApiClient, ApiError, segment
from counterflow.app.cli.shared import FailedError, Server, Surroundings, asks_server, screen
from counterflow.app.cli.tables import UNKNOWN, instant, say, visible
from counterflow.app.cli.words import MOST_LIMITS, power, state_words, verdict_words
from counterflow.domain.delivery import DeliveryReport
from counterflow.domain.dispatch_views import DispatchView
from counterflow.domain.instructions import DispatchInstruction, DispatchState

LOOK_EVERY_S = 1.0
LINE_EVERY_S = 15.0
"""Where there is no terminal, a line is written this often and when the state changes."""
PATIENCE_S = 120.0
"""A server that is away is waited for this long, so that a restart does not end the watching."""
BAR_WIDTH = 60
RAMP_S = 60.0
"""For this long after the start an error says nothing: a car takes that long to begin and to ramp."""
ENDED = frozenset({DispatchState.COMPLETED, DispatchState.CANCELLED, DispatchState.ABORTED})


def register(app: typer.Typer) -> None:
    """Put the command into the root."""
    app.command("watch", epilog="Example: counterflow watch d-1a2b3c4d")(asks_server(watch_one))


def watch_one(
    server: Server,
    dispatch_id: Annotated[str, typer.Argument(metavar="ID", help="The dispatch, as 'counterflow dispatches' shows it.")],
) -> None:
    """Show a dispatch live until it ends, then the verdict. Leaving the view (Ctrl-C) changes nothing."""
    with server.client() as client:
        watch(client, dispatch_id, screen(), server.around)


def watch(client: ApiClient, dispatch_id: str, console: Console, around: Surroundings) -> None:
    """Show the dispatch until it has ended, then the verdict. Raises `FailedError` when it did not complete."""
    view = _watch_live(client, dispatch_id, console, around) if console.is_terminal else _watch_lines(client, dispatch_id, console, around)
    report = client.get(f"/dispatches/{segment(dispatch_id)}/report", {"format": "json"}).read(DeliveryReport)
    for line in verdict_words(report):
        say(console, line)
    say(console, f"The whole report: counterflow report {dispatch_id} --format json (or csv, parquet, png).", "dim")
    if view.instruction.state is not DispatchState.COMPLETED:
        raise FailedError(f"Dispatch {dispatch_id} did not run to its end: {state_words(view, around.now_s())}.")


def _watch_live(client: ApiClient, dispatch_id: str, console: Console, around: Surroundings) -> DispatchView:
    watcher = Watcher(client, dispatch_id, around)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            view, note = watcher.look()
            if view is not None:
                live.update(frame(view, around.now_s(), note), refresh=True)
                if view.instruction.state in ENDED:
                    return view
            around.pause(LOOK_EVERY_S)


def _watch_lines(client: ApiClient, dispatch_id: str, console: Console, around: Surroundings) -> DispatchView:
    watcher = Watcher(client, dispatch_id, around)
    shown, shown_at_s = None, float("-inf")
    while True:
        view, note = watcher.look()
        if view is not None:
            now_s, state = around.now_s(), (view.instruction.state, note)
            if state != shown or now_s - shown_at_s >= LINE_EVERY_S:
                shown, shown_at_s = state, now_s
                console.print(Text(line(view, now_s, note)), soft_wrap=True)
            if view.instruction.state in ENDED:
                return view
        around.pause(LOOK_EVERY_S)


class Watcher:
    """Looks at one dispatch again and again, and bears a server that is away for a while."""

    def __init__(self, client: ApiClient, dispatch_id: str, around: Surroundings) -> None:
        self._client = client
        self._path = f"/dispatches/{segment(dispatch_id)}"
        self._around = around
        self._last: DispatchView | None = None
        self._lost_at_s: float | None = None

    def look(self) -> tuple[DispatchView | None, str]:
        """The newest view (the last one known while the server is away), and a remark. Raises `ApiError` when it stays away."""
        try:
            self._last = self._client.get(self._path).read(DispatchView)
        except ApiError as error:
            if error.status is not None and error.status < 500:
                raise
            now_s = self._around.now_s()
            if self._lost_at_s is None:
                self._lost_at_s = now_s
            if now_s - self._lost_at_s > PATIENCE_S:
                raise
            return self._last, "the server does not answer; trying again"
        self._lost_at_s = None
        return self._last, ""


def frame(view: DispatchView, now_s: float, note: str = "") -> Group:
    """One picture of the live view."""
    instruction = view.instruction
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True, min_width=10)
    grid.add_column(justify="right", no_wrap=True, min_width=10)
    grid.add_column(overflow="fold")
    for name, value, remark in figures(view, now_s):
        grid.add_row(name, value, Text(visible(remark), style="dim"))
    return Group(
        Text.assemble((f"Dispatch {visible(instruction.dispatch_id)}", "bold"), f"  {visible(state_words(view, now_s))}"),
        _bar(instruction, now_s),
        grid,
        Text(_footer(instruction, note), style="yellow" if note else "dim"),
    )


def figures(view: DispatchView, now_s: float) -> list[tuple[str, str, str]]:
    """(what, value, remark) of the live view. Unknown is said, never shown as zero."""
    target_w, delivered_w = view.target_power_w, view.delivered_power_w
    off = ""
    if view.instruction.state is DispatchState.RUNNING and now_s < view.instruction.start_s + RAMP_S:
        off = "the cars are ramping"
    elif target_w is not None and delivered_w is not None and target_w > 0.0:
        off = f"{(delivered_w - target_w) / target_w * 100.0:+.1f} % of the target"
    rows = [
        ("Target", _shown(target_w), ""),
        ("Delivered", _shown(delivered_w), off),
        ("Data", UNKNOWN if view.quality is None else view.quality.value, f"by the meters as of {instant(view.at_s)}"),
        ("Headroom", _shown(view.headroom_power_w), "idle reserve that can step in"),
        ("Sessions", str(view.discharging), f"discharging, of {view.members}"),
        ("Drop-outs", str(view.drop_outs), ""),
        ("Messages", str(view.messages_sent), "sent to stations"),
    ]
    if view.shortfall_power_w is not None and view.shortfall_power_w > 0.5:
        rows.insert(4, ("Shortfall", _shown(view.shortfall_power_w), _shortfall_words(view)))
    rows += [("Limit", "", words) for words in view.binds[:MOST_LIMITS]]
    return rows


def _shortfall_words(view: DispatchView) -> str:
    """More than was committed is missing by intent while cars stand by; otherwise there is nothing left to give."""
    committed_w, held_w = view.feasibility.committed_power_w, view.headroom_power_w or 0.0
    beyond = view.target_power_w is not None and view.target_power_w > committed_w
    if beyond and held_w > 0.5 and (view.expected_power_w or 0.0) + held_w >= committed_w:
        return f"{power(committed_w)} was committed; {power(held_w)} is held in reserve"
    return "the fleet cannot give this now"


def line(view: DispatchView, now_s: float, note: str = "") -> str:
    """The live view in one line, for a log."""
    parts = [f"{what.lower()} {value}" for what, value, _ in figures(view, now_s)]
    return visible(f"{instant(now_s)} {state_words(view, now_s)}: {', '.join(parts)}{f' ({note})' if note else ''}")


def _bar(instruction: DispatchInstruction, now_s: float) -> Text:
    share = (now_s - instruction.start_s) / max(1.0, instruction.end_s - instruction.start_s)
    done = round(BAR_WIDTH * min(1.0, max(0.0, share)))
    return Text.assemble(("━" * done, "green"), ("─" * (BAR_WIDTH - done), "dim"))


def _shown(power_w: float | None) -> str:
    return "-" if power_w is None else power(power_w)


def _footer(instruction: DispatchInstruction, note: str) -> str:
    if note:
        return f"{note[:1].upper()}{note[1:]}."
    if instruction.state in ENDED:
        return "Ended."
    return "Ctrl-C leaves this view; the dispatch goes on."
