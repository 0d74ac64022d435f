"""What a live process asks of the operating system and the interpreter."""

import contextlib
import ctypes
import resource
import sys
from collections.abc import Coroutine
from typing import Final, TypeVar

import uvloop

SWITCH_INTERVAL_S = 0.001
"""The journal's thread hands the interpreter over a few times a commit; with Python's own 5 ms each, answers wait for that."""

_M_ARENA_MAX: Final = -8
"""glibc's malloc.h: how many heaps there may be."""
SPARE_FILES = 256
"""Files beside connections: of the journal, telemetry, reports, the console, and of what is called out to."""
Result = TypeVar("Result")


def run(main: Coroutine[object, object, Result]) -> Result:
    """Run a live process on uvloop, tuned for a server."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with contextlib.suppress(OSError, AttributeError):  # another C library has its own ways
        # Else every thread gets a heap of its own, and each keeps what its largest burst has needed.
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    return uvloop.run(main)


def give_back_memory() -> None:
    """Hand pages of the heap that hold nothing back to the system: what a storm of stations needed for a moment else stays for good."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def allow_connections(connections: int, of_others: int) -> str | None:
    """Raise the limit of open files to what `connections` of stations and those `of_others` need; returns a sentence when the machine does
    not allow it."""
    spare = of_others + SPARE_FILES
    wanted = connections + spare
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted or soft == resource.RLIM_INFINITY:
        return None
    reachable = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, reachable), hard))
    if reachable >= wanted:
        return None
    return (
        f"This process may open {reachable} files, which is room for {max(0, reachable - spare)} of {connections} stations; "
        "raise the hard limit (ulimit -Hn) or lower gateway.max_connections."
    )
