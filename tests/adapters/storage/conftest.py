from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from counterflow.adapters.storage.settings import StorageSettings
from counterflow.adapters.storage.sqlite import SqliteJournal


@pytest.fixture
def open_journal(tmp_path: Path) -> Iterator[Callable[..., SqliteJournal]]:
    """Open (or, after closing, reopen) the journal of this test's directory; all are closed in the end."""
    opened: list[SqliteJournal] = []

    def open_one(**settings: object) -> SqliteJournal:
        opened.append(SqliteJournal(tmp_path / "journal.db", msgspec.convert(settings, StorageSettings)))
        return opened[-1]

    yield open_one
    for journal in opened:
        journal.close()
