"""The process really dies: by `kill -9` in mid-write, or because the kernel lets the files grow no more."""

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

from counterflow.adapters.storage.sqlite import SqliteJournal
from counterflow.domain.ids import DispatchId, SessionUid
from counterflow.domain.records import DocumentKind

T0 = 1_795_000_000.0
ROUNDS = 10_000
"""So many of three writes are acknowledged before it is killed."""

WRITER = textwrap.dedent(
    """
    import os, sys
    from pathlib import Path
    from counterflow.adapters.storage.settings import StorageSettings
    from counterflow.adapters.storage.sqlite import SqliteJournal
    from counterflow.domain.delivery import LogEntry
    from counterflow.domain.records import DocumentKind, Latch

    journal = SqliteJournal(Path(sys.argv[1]), StorageSettings())
    journal.on_durable(lambda position: os.write(1, f"{position}\\n".encode()))
    number = 0
    while True:
        number += 1
        journal.sample(number, 1795000000.0 + number * 1e-4, float(number), -7000.0, 1.0, 2.0, 0.5)
        journal.put(DocumentKind.LATCH, str(number % 1000), Latch(on=True, at_s=float(number), by=""))
        journal.log("d", LogEntry(at_s=float(number), kind="tick"))
        while journal.position - journal.durable_position > 20_000:
            pass
    """
)

FILLER = textwrap.dedent(
    """
    import resource, sys, time
    from pathlib import Path
    from counterflow.adapters.storage.settings import StorageSettings
    from counterflow.adapters.storage.sqlite import SqliteJournal

    journal = SqliteJournal(Path(sys.argv[1]), StorageSettings(retry_s=0.02))
    journal.sample(1, 1795000000.0, 1.0, -7000.0, 1.0, 2.0, 0.5)
    journal.flush()
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    number = 1
    while journal.failed is None:
        number += 1
        journal.sample(number, 1795000000.0 + number * 1e-4, float(number), -7000.0, 1.0, 2.0, 0.5)
        time.sleep(0.00002)
    time.sleep(0.1)
    stuck = journal.durable_position < journal.position
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    while journal.failed is not None:
        time.sleep(0.01)
    journal.flush()
    print(stuck, journal.durable_position == journal.position == number, number, journal.alarms())
    """
)


def test_all_that_was_acknowledged_is_there_after_kill_9(open_journal: Callable[..., SqliteJournal], tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "journal.db")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline())]
    while acknowledged[-1] <= 3 * ROUNDS:
        acknowledged.append(int(process.stdout.readline()))
    process.send_signal(signal.SIGKILL)
    acknowledged.extend(map(int, process.stdout.read().split()))
    process.wait()
    process.stdout.close()

    rounds = acknowledged[-1] // 3
    assert rounds >= ROUNDS
    journal = open_journal()
    samples = journal.samples(map(SessionUid, range(1, rounds + 100_000)), T0, T0 + 1e6)
    assert [sample.session_uid for sample in samples] == list(range(1, len(samples) + 1))
    log = journal.dispatch_log(DispatchId("d"))
    assert [entry.at_s for entry in log] == list(range(1, len(log) + 1))
    newest = max(latch.at_s for _, latch in journal.documents(DocumentKind.LATCH))
    assert len(samples) >= (acknowledged[-1] + 2) // 3
    assert newest >= (acknowledged[-1] + 1) // 3
    assert len(log) >= rounds
    assert newest - len(log) in (0, 1), "a commit is whole or not at all"
    assert len(samples) - newest in (0, 1), "a commit is whole or not at all"


def test_a_file_that_may_not_grow_is_a_failure_that_passes(open_journal: Callable[..., SqliteJournal], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILLER, str(tmp_path / "journal.db")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    stuck, whole, number, alarms = done.stdout.split(maxsplit=3)
    assert (stuck, whole, alarms.strip()) == ("True", "True", "()")
    samples = open_journal().samples(map(SessionUid, range(1, 1_000_000)), T0, T0 + 1e6)
    assert [sample.session_uid for sample in samples] == list(range(1, int(number) + 1))
