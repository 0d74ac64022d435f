"""What a report was made from, as fingerprints: the same meter values in any order, repeated or not, give the same ones."""

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

import msgspec
import numpy as np

from counterflow.domain.delivery import LogEntry, LogKind, Sample
from counterflow.domain.settlement import Evidence
from counterflow.engine.settlement.samples import MeterColumns, meter_columns
from counterflow.engine.settlement.settled import Settled


class Fingerprint(NamedTuple):
    """Of the meter values of one session."""

    samples: int
    digest: str


def fingerprint(columns: MeterColumns) -> Fingerprint:
    """SHA-256 of the merged columns, in hexadecimal."""
    digest = sha256()
    for column in columns:
        digest.update((np.where(np.isnan(column), np.nan, column) + 0.0).tobytes())
    return Fingerprint(len(columns.at_s), digest.hexdigest())


def evidence(settled: Settled, prints: Iterable[Fingerprint]) -> Evidence:
    """Of all that a settled dispatch was made from; `prints` are those of its members."""
    digest, count = sha256(), 0
    for each in prints:
        digest.update(each.digest.encode())
        count += each.samples
    for further in (settled.stored.after, settled.stored.history):
        digest.update(_digest(further).encode())
    return Evidence(
        samples=count,
        samples_sha256=digest.hexdigest(),
        log_sha256=log_digest(settled.stored.log),
        settings=msgspec.to_builtins(settled.settings),
    )


def log_digest(log: Iterable[LogEntry]) -> str:
    """SHA-256 of a dispatch's log, line by line; entries that only tell that something came late are left out."""
    digest = sha256()
    for line in sorted(msgspec.json.encode(entry) for entry in log if entry.kind != LogKind.LATE):
        digest.update(line)
    return digest.hexdigest()


def _digest(samples: tuple[Sample, ...]) -> str:
    by_uid = meter_columns(samples, -np.inf, np.inf)
    return "".join(fingerprint(by_uid[uid]).digest for uid in sorted(by_uid))
