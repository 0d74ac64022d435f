"""(e) Samples written durably by the journal, and the disk under it."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from counterflow.adapters.storage.settings import StorageSettings
from counterflow.adapters.storage.sqlite import SqliteJournal
from counterflow.app.bench.figures import Figure
from counterflow.app.bench.stage import Stage
from counterflow.domain.ids import SessionUid

AIM_PER_S = 50_000.0
SESSIONS = 10_000
_SYNCS = 50
_BURST = 1_000


def measure(stage: Stage) -> Iterator[Figure]:
    """From the first sample handed in until the last is on disk."""
    count = stage.sizes.ingest_samples
    per_s, cpu_us = [], []
    for number in range(stage.sizes.repeats):
        stage.say(f"ingest: {count} samples, {number + 1} of {stage.sizes.repeats}")
        with tempfile.TemporaryDirectory(dir=stage.folder) as folder:
            wall_s, cpu_s = _write(Path(folder), count)
        per_s.append(count / wall_s)
        cpu_us.append(1e6 * cpu_s / count)
    yield Figure(key="ingest.per_s", title="Durable ingest", unit="samples/s", values=tuple(per_s), aim=AIM_PER_S, better="more")
    yield Figure(key="ingest.cpu_us", title="Durable ingest", unit="µs CPU/sample", values=tuple(cpu_us))
    yield Figure(key="ingest.sync_ms", title="One write with fdatasync on this disk", unit="ms", values=tuple(_sync_ms(stage.folder)))


def _write(folder: Path, count: int) -> tuple[float, float]:
    with SqliteJournal(folder / "counterflow.sqlite3", StorageSettings()) as journal:
        at_s = time.time()
        started_s, cpu_s = time.monotonic(), time.process_time()
        for number in range(count):
            uid = SessionUid(1 + number % SESSIONS)
            journal.sample(uid, at_s, at_s - 0.2, -11_000.0, float(number), 0.0, 0.8)
            if number % _BURST == 0:
                at_s = time.time()
        journal.flush()
        return time.monotonic() - started_s, time.process_time() - cpu_s


def _sync_ms(folder: Path) -> list[float]:
    waited_ms = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_SYNCS):
            file.write(b"x" * 4096)
            file.flush()
            started_s = time.monotonic()
            os.fdatasync(file.fileno())
            waited_ms.append(1e3 * (time.monotonic() - started_s))
    return waited_ms
