"""What every measurement shares: the sizes, a folder, progress on the screen, and processes that are ended whatever happens."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from counterflow.app.bench.figures import Sizes
from counterflow.app.bench.processes import Child, ChildError, cores

HOST = "counterflow.app.bench.host"
LOAD = "counterflow.app.bench.load"
PEER = "counterflow.app.bench.peer"
VIEWERS = "counterflow.app.bench.viewers"


class Stage:
    """Handed to each measurement."""

    def __init__(self, sizes: Sizes, folder: Path, console: Console) -> None:
        self.sizes = sizes
        self.folder = folder
        self.deadline_s = float("inf")
        self._console = console
        self._started_s = time.monotonic()
        self._logs = 0

    def say(self, text: str) -> None:
        """One line of progress."""
        self._console.print(f"[{time.monotonic() - self._started_s:5.0f} s] {text}", style="dim", highlight=False, markup=False)

    def left_s(self) -> float:
        """Time that this measurement still has. Raises `ChildError` when there is none."""
        left_s = self.deadline_s - time.monotonic()
        if left_s <= 0.0:
            raise ChildError("It took longer than its time bound and was ended.")
        return left_s

    def ask(self, child: Child, request: str, **arguments: Any) -> dict[str, Any]:
        """Ask a process; the measurement's time bound holds."""
        return child.ask(request, self.left_s(), **arguments)

    def rest(self, duration_s: float) -> None:
        """Let it run."""
        time.sleep(min(duration_s, self.left_s()))

    @contextmanager
    def server(self, stations: int, *, peer: bool = False) -> Iterator[tuple[Child, str]]:
        """A server process on the first core, ready for `stations`, and where they connect."""
        with self._child(PEER if peer else HOST, cores()[0]) as child:
            if peer:
                port = self.ask(child, "start", stations=stations)["port"]
            else:
                port = self.ask(child, "start", stations=stations, folder=str(self.folder))["port"]
            yield child, f"ws://127.0.0.1:{port}/ocpp"

    @contextmanager
    def load(self) -> Iterator[Child]:
        """A load process on the second core."""
        with self._child(LOAD, cores()[1]) as child:
            yield child

    @contextmanager
    def viewers(self) -> Iterator[Child]:
        """A process for the console and its viewers on the second core."""
        with self._child(VIEWERS, cores()[1]) as child:
            yield child

    def connect(self, load: Child, url: str, stations: int, until: str, *, deflate: bool = False, at_once: int = 200) -> dict[str, Any]:
        """Connect stations and bring them to a step."""
        bound_s = self.left_s()
        return self.ask(load, "connect", url=url, stations=stations, until=until, deflate=deflate, at_once=at_once, within_s=bound_s)

    def await_discovery(self, server: Child, stations: int) -> dict[str, Any]:
        """Until the server knows what every station can do; returns how it stands."""
        while (standing := self.ask(server, "standing"))["discovered"] < stations:
            self.rest(0.2)
        return standing

    def _child(self, module: str, core: int) -> Child:
        self._logs += 1
        return Child(module, core, self.folder / f"process-{self._logs}.log")
