"""The processes of a bench: started on a core of their own, asked over a pipe, measured from outside, and always ended.

Both ends speak JSON lines. A child that loses its parent reads the end of its input and leaves.
"""

import asyncio
import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec

from counterflow.app.bench.figures import CannotError

SPARE_FILES = 200
"""Files that a process needs beside one for each connection."""
_SETTLE_S = 2.0

Answers = Mapping[str, Callable[..., Awaitable[dict[str, Any]]]]
"""What a child can be asked: an async function by name, its keyword arguments come with the request."""


class ChildError(RuntimeError):
    """A process of the bench failed or did not answer in time; the text is a sentence."""


class Child:
    """One process, seen from the bench."""

    def __init__(self, module: str, core: int, log: Path) -> None:
        """Start `python -m module` on `core`. What it says on standard error goes to `log`."""
        self.name = module.rpartition(".")[2]
        self._log = log
        self._buffer = b""
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(core)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C reaches the bench only, which then ends its children
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def ask(self, request: str, timeout_s: float = 30.0, **arguments: Any) -> dict[str, Any]:
        """Ask and wait for the answer. Raises `ChildError`, and `CannotError` when the child says that the machine cannot."""
        self.tell(request, **arguments)
        return self.hear(request, timeout_s)

    def tell(self, request: str, **arguments: Any) -> None:
        """Ask; the answer is fetched with `hear`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode((request, arguments)) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ChildError(self._why(f"The {self.name} process has ended.")) from None

    def hear(self, request: str, timeout_s: float) -> dict[str, Any]:
        """The answer to `tell`."""
        assert self._process.stdout is not None
        descriptor, deadline_s = self._process.stdout.fileno(), time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0.0 or not select.select([descriptor], [], [], left_s)[0]:
                raise ChildError(self._why(f"The {self.name} process did not answer '{request}' within {timeout_s:g} s."))
            piece = os.read(descriptor, 65536)
            if not piece:
                raise ChildError(self._why(f"The {self.name} process ended during '{request}'."))
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = msgspec.json.decode(line)
        if "cannot" in answer:
            raise CannotError(answer["cannot"])
        return answer

    def cpu_s(self) -> float:
        """CPU time of the process, its threads and its children so far."""
        return cpu_s(self.pid)

    def pss_kib(self) -> float:
        """Its share of memory (proportional set size)."""
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return float(line.split()[1])
        raise CannotError("This kernel does not tell a process's proportional memory (smaps_rollup).")

    def end(self) -> None:
        """Make it end, by asking, then by force."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(_SETTLE_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _why(self, sentence: str) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines() if self._log.exists() else []
        return f"{sentence} Its last words: {lines[-1]}" if lines else sentence


def cpu_s(pid: int) -> float:
    """CPU time of a process, its threads and its children so far."""
    return _cpu_ns(pid) / 1e9


def _cpu_ns(pid: int) -> int:
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has just ended
            total += int((task / "schedstat").read_text().split()[0])
            total += sum(_cpu_ns(int(child)) for child in (task / "children").read_text().split())
    return total


def cores() -> tuple[int, int]:
    """The core of the server and the core of the load; the same one twice on a machine that has no other."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[min(1, len(allowed) - 1)]


def need_files(connections: int) -> None:
    """Raise the limit of open files. Raises `CannotError` in words when the machine allows too few."""
    needed = connections + SPARE_FILES
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise CannotError(
            f"{connections} connections need {needed} open files in one process; this machine allows {hard} (raise it with ulimit -Hn)."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else hard, hard))


async def answer_requests(answers: Answers) -> None:
    """The child's side: pin to the core of the command line, then answer one request after the other until the input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        request, arguments = msgspec.json.decode(line)
        try:
            answer = await answers[request](**arguments)
        except CannotError as cannot:
            answer = {"cannot": str(cannot)}
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()


def pin_from_command_line() -> None:
    """Stay on the core named by the first argument; threads made later stay there too."""
    os.sched_setaffinity(0, {int(sys.argv[1])})
