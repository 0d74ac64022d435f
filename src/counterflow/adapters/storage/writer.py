"""The writer thread: it takes what is pending, commits it as one group, and keeps trying when the disk does not take it."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from counterflow.adapters.storage.pending import Change, Group, LogLine, Write
from counterflow.adapters.storage.samples import DAY_MS
from counterflow.adapters.storage.schema import CHUNK_STATEMENT, INTAKE_STATEMENT, StorageError, connect, prepare_intake
from counterflow.adapters.storage.settings import StorageSettings

_SAMPLE_BYTES = 104
"""What a waiting sample takes in memory: its packed row as an object, and its place in the list."""

Statement = tuple[str, tuple[int | float | str, ...]]

_CONNECTION_IS_DOUBTFUL = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB})


class GroupWriter:
    """One thread, one connection, one commit at a time.

    A commit starts as soon as the one before has ended, but not before `commit_interval_s` after the one before had started, so
    that quiet hours are cheap and no write waits longer than that for others.

    `writes` is shared without a lock, since a lock would cost more than the rest of a write: callers only ever append to its end,
    the thread only ever takes from its front, and both are one step under the interpreter lock. `lock` guards the counts.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, settings: StorageSettings) -> None:
        self.writes: list[Write] = []
        self.room = settings.pending_max_bytes // _SAMPLE_BYTES
        """How many samples `writes` may hold."""
        self.idle = False
        """The thread sleeps until `wake`; read it after appending (it is set before the thread looks at `writes` a last time)."""
        self.durable_position = 0
        self.failed: str | None = None
        self.sealed_day = 0
        """No chunk is filed under days (since 1970) before this one."""
        self.disk_alarm: str | None = None
        self.callback_alarm: str | None = None
        self.callbacks: list[Callable[[int], None]] = []
        self.lock = threading.Lock()
        self._path = path
        self._connection = connection
        self._settings = settings
        self._most_bytes = settings.pending_max_bytes
        self._taken = 0
        self._other_bytes = 0
        self._under_way_bytes = 0
        self._lost = 0
        self._lost_after: int | None = None
        self._jobs: list[tuple[Sequence[Statement], Future[int]]] = []
        self._flush_to = 0
        self._closing = False
        self._taken_at_s = float("-inf")
        self._disk_checked_at_s = float("-inf")
        self._sequence = time.time_ns() // 1000
        self._wake = threading.Event()
        self._changed = threading.Condition(self.lock)
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        prepare_intake(connection)
        self._watch_disk()
        self._thread.start()

    # -- callers' side ---------------------------------------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """Number of the last write handed in."""
        with self.lock:  # asked with every message of a station: nothing more than needed
            return self._taken + len(self.writes) + self._lost

    def _position(self) -> int:
        return self._taken + len(self.writes) + self._lost

    def add(self, write: LogLine | Change) -> None:
        """Hand in a write other than a sample."""
        with self.lock:
            if len(self.writes) >= self.room:
                self._lose()
                return
            self._other_bytes = other_bytes = self._other_bytes + len(write[-1] or b"")
            # As `_update_room`, at a call less: this is done for each message to a station.
            spare_bytes = self._most_bytes - self._under_way_bytes - other_bytes
            self.room = spare_bytes // _SAMPLE_BYTES if spare_bytes > 0 else 0
            self.writes.append(write)
        if self.idle:
            self.wake()

    def lose(self) -> None:
        """Count a write that found no room. From here on nothing more is called durable until a restart."""
        with self.lock:
            self._lose()

    def _lose(self) -> None:
        if self._lost_after is None:
            self._lost_after = self._position()
        self._lost += 1
        self.failed = self._loss_text()

    def wake(self) -> None:
        """The thread has something to do; call it when `idle` is set."""
        self.idle = False
        self._wake.set()

    def flush(self) -> None:
        """Block until all that was handed in is durable; raises StorageError when the disk does not take it."""
        with self._changed:
            target = self._position()
            self._flush_to = max(self._flush_to, target)
            self._wake.set()
            self._changed.wait_for(lambda: self.durable_position >= target or self.failed is not None or self._closing)
            if self.durable_position < target:
                raise StorageError(self.failed or "The journal was closed before all writes were on disk.")

    def run_between_commits(self, statements: Sequence[Statement]) -> int:
        """Run statements as one transaction of their own in the writer thread; returns how many rows the last one changed."""
        future: Future[int] = Future()
        with self.lock:
            if self._closing:
                raise StorageError("The journal is closed.")
            self._jobs.append((statements, future))
            self._wake.set()
        return future.result()

    def close(self) -> None:
        """Commit what is pending if the disk takes it (one try), then end the thread and close the connection."""
        with self._changed:
            self._closing = True
            self._wake.set()
            self._changed.notify_all()
        self._thread.join()
        self._connection.close()

    # -- the thread ------------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self._wait()
            self._watch_disk()
            group = self._take()
            is_taken = group is None or self._commit_until_done(group)
            self._run_jobs()
            with self.lock:
                if self._closing and (not self.writes or not is_taken):
                    break
        for _, future in self._jobs:
            future.set_exception(StorageError("The journal was closed."))

    def _wait(self) -> None:
        """Sleep until a group is due, something is urgent, or the disk wants looking at."""
        due_at_s = self._taken_at_s + self._settings.commit_interval_s
        while True:
            self._wake.clear()
            self.idle = True
            with self.lock:
                empty = self.idle = not self.writes
                flush_waits = not empty and self._flush_to > self.durable_position
                if self._closing or self._jobs or flush_waits:
                    return
            now_s = time.monotonic()
            if empty:
                if not self._wake.wait(self._settings.disk_check_s):
                    return
                due_at_s = time.monotonic() + self._settings.commit_interval_s
            elif due_at_s <= now_s:
                return
            else:
                self._wake.wait(due_at_s - now_s)

    def _take(self) -> Group | None:
        self.idle = False
        with self.lock:
            count = len(self.writes)
            if count == 0:
                return None
            self._taken_at_s = time.monotonic()
            writes = self.writes[:count]
            del self.writes[:count]
            self._taken += count
            self._other_bytes = 0
        group = Group(writes)
        with self.lock:
            self._under_way_bytes = group.size_bytes
            self._update_room()
        return group

    def _update_room(self) -> None:
        self.room = max(self._most_bytes - self._under_way_bytes - self._other_bytes, 0) // _SAMPLE_BYTES

    def _commit_until_done(self, group: Group) -> bool:
        """Whether the disk took it; it is tried again until then, and once more after the journal is closed."""
        while True:
            with self.lock:
                is_last = self._closing
            try:
                self._commit(group)
            except Exception as error:  # noqa: BLE001 - whatever it is, the thread must live on, say so and try again
                self._fail(error)
            else:
                self._done()
                return True
            self._run_jobs()
            if is_last:
                return False
            with self.lock:
                if self._closing:
                    continue
                self._wake.clear()
            self._wake.wait(self._settings.retry_s)
            self._watch_disk()

    def _commit(self, group: Group) -> None:
        connection = self._connection
        chunks = group.chunks(self._sequence, self.sealed_day * DAY_MS)
        self._sequence += len(chunks)
        if len(chunks) <= 1:
            connection.execute(INTAKE_STATEMENT, group.intake(chunks[0] if chunks else None))
            return
        with _Transaction(connection):
            connection.executemany(CHUNK_STATEMENT, chunks[:-1])
            connection.execute(INTAKE_STATEMENT, group.intake(chunks[-1]))

    def _done(self) -> None:
        with self._changed:
            before = self.durable_position
            self.durable_position = self._taken if self._lost_after is None else max(before, min(self._taken, self._lost_after))
            self._under_way_bytes = 0
            self._update_room()
            self.failed = None if self._lost_after is None else self._loss_text()
            durable_position = self.durable_position
            self._changed.notify_all()
        if durable_position > before:
            self._tell(durable_position)

    def _tell(self, durable_position: int) -> None:
        for callback in self.callbacks:
            try:
                callback(durable_position)
            except Exception as error:  # noqa: BLE001 - a listener's fault must not stop the writing
                self.callback_alarm = f"A listener for durable writes failed: {type(error).__name__}: {error}."

    def _fail(self, error: Exception) -> None:
        text = f"The journal {self._path} cannot be written: {error}. Nothing is acknowledged until it can; free space or repair the disk."
        with self._changed:
            self.failed = text if self._lost_after is None else self._loss_text()
            self._changed.notify_all()
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _CONNECTION_IS_DOUBTFUL:
            self._reconnect()

    def _reconnect(self) -> None:
        """After an I/O error a connection may hold pages that never reached the disk; a fresh one reads what is really there."""
        try:
            fresh = connect(self._path)
            prepare_intake(fresh)
        except sqlite3.Error:
            return  # the old connection stays; the next try says what is wrong
        self._connection.close()
        self._connection = fresh

    def _run_jobs(self) -> None:
        with self.lock:
            jobs, self._jobs = self._jobs, []
        for statements, future in jobs:
            changed = 0
            try:
                with _Transaction(self._connection):
                    for statement, parameters in statements:
                        changed = self._connection.execute(statement, parameters).rowcount
            except sqlite3.Error as error:
                future.set_exception(StorageError(f"The journal {self._path} cannot be written: {error}."))
            else:
                future.set_result(changed)

    def _watch_disk(self) -> None:
        now_s = time.monotonic()
        if now_s - self._disk_checked_at_s < self._settings.disk_check_s:
            return
        self._disk_checked_at_s = now_s
        self.disk_alarm = disk_alarm(self._path.parent, self._settings)

    def _loss_text(self) -> str:
        return (
            f"The journal {self._path} could not be written for so long that {self._lost} writes were lost. "
            "Nothing is acknowledged any more; free disk space, then restart."
        )


class _Transaction:
    """BEGIN IMMEDIATE ... COMMIT, or ROLLBACK on an error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def disk_alarm(directory: Path, settings: StorageSettings) -> str | None:
    """A sentence when the disk of `directory` is nearly full, else None."""
    try:
        disk = os.statvfs(directory)
    except OSError as error:
        return f"The disk of {directory} cannot be looked at: {error.strerror}."
    free_bytes = disk.f_bavail * disk.f_frsize
    floor_bytes = max(settings.disk_alarm_free_bytes, settings.disk_alarm_free_share * disk.f_blocks * disk.f_frsize)
    if free_bytes >= floor_bytes:
        return None
    return (
        f"The disk of {directory} has {free_bytes / 1e9:.1f} GB left, less than {floor_bytes / 1e9:.1f} GB. Free space before writes fail."
    )
