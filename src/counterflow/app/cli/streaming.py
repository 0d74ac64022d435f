"""`counterflow stream`: sends the values of a streamed target, for integrators and for trying things out."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from counterflow.app.cli.api_client import ApiClient, ApiError, segment
from counterflow.app.cli.shared import FailedError, Server, Surroundings, WrongUsageError, asks_server, note
from counterflow.app.cli.words import counted
from counterflow.domain.dispatch_views import DispatchView, TargetAnswer
from counterflow.domain.units import UnitError, format_power, parse_asked_power_w, parse_duration_s, parse_instant_s
from counterflow.domain.views import FleetView

_TOO_MANY, _CONFLICT = 429, 409
_TRY_AGAIN_S = 1.0
_PATIENCE_S = 120.0
"""A server that is away is tried again for this long; the newest value is what it gets then."""
_HEADS = {"power": ("power",), "power_w": ("power_w",), "time,power": ("time", "power"), "time_s,power_w": ("time_s", "power_w")}
"""Head lines: `_s` and `_w` say that plain numbers are in these units."""


class _Line(NamedTuple):
    """One value, and when it is due by this machine's clock; None = as soon as it is read."""

    due_s: float | None
    power_w: float


def register(app: typer.Typer) -> None:
    """Put the command into the root."""
    app.command(
        "stream",
        epilog="Example: counterflow stream d-1a2b3c4d values.csv, with lines like 4s,1.2MW; or: my-agc | counterflow stream d-1a2b3c4d, "
        "a power a line. Order the stream first: counterflow dispatch 2MW 1h --stream.",
    )(asks_server(stream))


def stream(
    server: Server,
    dispatch_id: Annotated[str, typer.Argument(metavar="ID", help="The dispatch, ordered with --stream.")],
    source: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Values, POWER or TIME,POWER a line. Default: standard input, as it comes.")
    ] = None,
) -> None:
    """Send values to a streamed target: POWER a line, or TIME,POWER (time from now such as 4s, or an instant), until the lines end.

    With times each value is sent when it is due, and said again in between so that the dead-man does not act; without, the dead-man acts
    when the lines stop. A head line time_s,power_w (or power_w) says that plain numbers follow. A line that is no value ends the feed, with
    its number and the count of those before it: what follows in a feed that has gone wrong is not guessed.
    """
    with server.client() as client:
        view = client.get(f"/dispatches/{segment(dispatch_id)}").read(DispatchView)
        if view.instruction.stream is None or view.stream is None:
            raise FailedError(f"Dispatch {dispatch_id} has no stream. Order one: counterflow dispatch 2MW 1h --stream.")
        # Of an instant the server's clock counts, not this machine's.
        begin_s = server.around.now_s()
        ahead_s = client.get("/fleet").read(FleetView).at_s - begin_s
        timeout_s = view.instruction.stream.timeout_s
        sender = _Sender(client, dispatch_id, server.around, timeout_s, view.stream.sequence)
        dead_man = f"Without another value the dead-man acts after {timeout_s:g} s."
        with _opened(source) as texts:
            try:
                for line in values(texts, begin_s, ahead_s):
                    if not sender.send_when_due(line):
                        break
            except WrongUsageError as error:
                raise WrongUsageError(
                    f"{error} The feed ends there, with {counted(sender.taken, 'value')} taken before. {dead_man}"
                ) from None
    note(f"{counted(sender.taken, 'value')} taken{sender.bounded_words()}. {sender.end or dead_man}")


def values(texts: Iterable[str], begin_s: float, ahead_s: float) -> Iterator[_Line]:
    """The values of a file or of standard input, as they come. `ahead_s` is taken off instants. Raises WrongUsageError with the line."""
    units: tuple[str, ...] = ()
    for number, text in enumerate(texts, start=1):
        cells = [cell.strip() for cell in text.lstrip("\ufeff").strip().split(",")]
        if cells == [""] or cells[0].startswith("#"):
            continue
        head = _HEADS.get(",".join(cells).lower().replace(" ", ""))
        if head is not None:
            units = head
            continue
        try:
            yield _value(cells, units, begin_s, ahead_s)
        except (UnitError, WrongUsageError) as error:
            raise WrongUsageError(f"Line {number}: {error}") from None


def _value(cells: list[str], units: tuple[str, ...], begin_s: float, ahead_s: float) -> _Line:
    if len(cells) > 2:
        raise WrongUsageError(f"there are {len(cells)} columns; write POWER or TIME,POWER.")
    power_w = _number(cells[-1], parse_asked_power_w) if "power_w" in units else parse_asked_power_w(cells[-1])
    if power_w < 0.0:
        raise WrongUsageError(f"'{cells[-1]}' is below zero; discharge is positive here.")
    if len(cells) == 1:
        return _Line(None, power_w)
    when = cells[0].removeprefix("+")
    if "time_s" in units:
        return _Line(begin_s + _number(when, parse_duration_s), power_w)
    return _Line(parse_instant_s(when) - ahead_s if "T" in when else begin_s + (0.0 if when == "0s" else parse_duration_s(when)), power_w)


def _number(text: str, otherwise: Callable[[str], float]) -> float:
    """A plain number in the unit of the head line; what is none has to say its unit."""
    try:
        return float(text)
    except ValueError:
        return otherwise(text)


class _Sender:
    """Numbers the values and sends them; a value that could not be sent gives way to the next."""

    def __init__(self, client: ApiClient, dispatch_id: str, around: Surroundings, timeout_s: float, sequence: int | None) -> None:
        self.taken = 0
        self.end = ""
        """Why the stream is over, in a sentence; "" = it is not."""
        self._client = client
        self._path = f"/dispatches/{segment(dispatch_id)}/target"
        self._around = around
        self._every_s = timeout_s / 3.0
        self._sequence = -1 if sequence is None else sequence
        self._newest_w: float | None = None
        self._bounded = 0
        self._told_w: float | None = None

    def bounded_words(self) -> str:
        """How many of the values taken were more than the order allows; "" = none."""
        return f", {self._bounded} of them bounded" if self._bounded else ""

    def send_when_due(self, line: _Line) -> bool:
        """Wait until it is due, saying the last value again meanwhile, and send it. False = the dispatch takes no more."""
        while line.due_s is not None and (left_s := line.due_s - self._around.now_s()) > 0.0:
            self._around.pause(min(left_s, self._every_s))
            if left_s > self._every_s and self._newest_w is not None and not self._send(self._newest_w, is_new=False):
                return False
        self._newest_w = line.power_w
        return self._send(line.power_w, is_new=True)

    def _send(self, power_w: float, *, is_new: bool) -> bool:
        self._sequence += 1
        body = {"discharge_power_w": power_w, "sequence": self._sequence}
        patience_s = self._around.now_s() + _PATIENCE_S
        while True:
            try:
                answer = self._client.request("PUT", self._path, body=body).read(TargetAnswer)
            except ApiError as error:
                if error.status == _CONFLICT:
                    self.end = error.sentence
                    return False
                if error.status not in (None, _TOO_MANY, 503) or self._around.now_s() > patience_s:
                    raise
                self._around.pause(_TRY_AGAIN_S)
                continue
            # After a lost answer the same number comes back as a duplicate: it was taken.
            self.taken += is_new and answer.outcome != "late"
            if is_new and answer.bounded:
                self._bounded += 1
                if power_w != self._told_w:
                    note(f"{format_power(power_w)} was bounded to {format_power(answer.asked_power_w)}, the most that was ordered.")
                self._told_w = power_w
            return True


@contextmanager
def _opened(source: Path | None) -> Iterator[Iterable[str]]:
    """The lines of a file, or of standard input as they come. Raises FailedError when it cannot be read."""
    if source is None:
        yield sys.stdin
        return
    try:
        with source.open(encoding="utf-8") as lines:
            yield lines
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise FailedError(f"The values in {source} cannot be read: {reason}.") from None
