"""The database file: who may open it, its tables and their migrations, and the one statement that is a group commit."""

import fcntl
import os
import sqlite3
from pathlib import Path

from counterflow.domain.records import DocumentKind


class StorageError(Exception):
    """The store cannot be opened or does not take writes; the text is a sentence for the operator."""


def table_of(kind: DocumentKind) -> str:
    """The table of a kind of document."""
    return f"document_{kind.value}"


MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        *(
            f"CREATE TABLE document_{kind}(key TEXT PRIMARY KEY, body TEXT NOT NULL)"
            for kind in (
                "station",
                "discovery",
                "session",
                "dispatch",
                "profile",
                "latch",
            )
        ),
        "CREATE TABLE dispatch_log(log_id INTEGER PRIMARY KEY, dispatch_id TEXT NOT NULL, body TEXT NOT NULL)",
        "CREATE INDEX dispatch_log_by_dispatch ON dispatch_log(dispatch_id)",
        "CREATE TABLE sample_chunk(chunk_key INTEGER PRIMARY KEY, body BLOB NOT NULL)",
        "CREATE TABLE sample_boundary(sealed_day INTEGER NOT NULL, archived_day INTEGER NOT NULL)",
        "INSERT INTO sample_boundary VALUES (0, 0)",
    ),
    tuple(f"CREATE TABLE document_{kind}(key TEXT PRIMARY KEY, body TEXT NOT NULL)" for kind in ("driver", "account")),
    ("CREATE TABLE document_path(key TEXT PRIMARY KEY, body TEXT NOT NULL)",),
    ("CREATE TABLE document_former_settings(key TEXT PRIMARY KEY, body TEXT NOT NULL)",),
    tuple(
        f"CREATE TABLE document_{kind}(key TEXT PRIMARY KEY, body TEXT NOT NULL)"
        for kind in ("known_profiles", "site_priority", "held_out")
    ),
    ("CREATE TABLE document_security(key TEXT PRIMARY KEY, body TEXT NOT NULL)",),
    tuple(f"CREATE TABLE document_{kind}(key TEXT PRIMARY KEY, body TEXT NOT NULL)" for kind in ("api_token", "audit")),
    ("CREATE TABLE document_transaction_number(key TEXT PRIMARY KEY, body TEXT NOT NULL)",),
    ("CREATE TABLE document_station_faults(key TEXT PRIMARY KEY, body TEXT NOT NULL)",),
    ("CREATE TABLE document_learned_response(key TEXT PRIMARY KEY, body TEXT NOT NULL)",),
    tuple(f"CREATE TABLE document_{kind}(key TEXT PRIMARY KEY, body TEXT NOT NULL)" for kind in ("grid_order", "wire_note")),
    tuple(
        f"CREATE TABLE document_{kind}(key TEXT PRIMARY KEY, body TEXT NOT NULL)"
        for kind in ("learned_departures", "commitment", "coverage_day", "offer_guard")
    ),
    ("CREATE TABLE document_capacity(key TEXT PRIMARY KEY, body TEXT NOT NULL)",),
    ("CREATE TABLE document_learned_answers(key TEXT PRIMARY KEY, body TEXT NOT NULL)",),
)
"""Step n brings version n to n + 1. Steps are only ever appended, never changed once released."""

PUT_COLUMNS = tuple(f"put_{kind.value}" for kind in DocumentKind)
DROP_COLUMNS = tuple(f"drop_{kind.value}" for kind in DocumentKind)
INTAKE_COLUMNS = ("chunk_key", "chunk_body", "logs", *PUT_COLUMNS, *DROP_COLUMNS)


class DataLock:
    """Keeps a second process out of the same data directory; the kernel frees it when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        """Take the lock or raise StorageError."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._descriptor, 64, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            who = f"process {holder}" if holder else "another process"
            raise StorageError(
                f"The data directory {path.parent} is in use by {who}. Stop it first, or choose another directory."
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let others in."""
        os.close(self._descriptor)


def connect(path: Path) -> sqlite3.Connection:
    """A connection that survives a power cut after each commit (WAL, synchronous FULL) and may be used from any thread, one at a time."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA journal_size_limit=67108864")
    return connection


def open_database(path: Path) -> sqlite3.Connection:
    """Open or create the database and bring it to our version. Raises StorageError when it is newer than we are or no database at all."""
    try:
        connection = connect(path)
        try:
            migrate(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise StorageError(f"The database {path} cannot be opened: {error}.") from error
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a database of our version without changing it, be its server running or not. Raises StorageError with what is wrong."""
    if not path.is_file():
        raise StorageError(f"There is no database {path}.")
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
        try:
            version = int(connection.execute("SELECT max(version) FROM schema_version").fetchone()[0])
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, TypeError) as error:
        raise StorageError(f"The database {path} cannot be read: {error}.") from error
    if version != len(MIGRATIONS):
        connection.close()
        raise StorageError(
            f"The database {path} has version {version}, and this release reads {len(MIGRATIONS)}: use the release that its server runs."
        )
    return connection


def migrate(connection: sqlite3.Connection, path: Path, migrations: tuple[tuple[str, ...], ...] = MIGRATIONS) -> None:
    """Run the missing steps, each in its own transaction together with the new version number."""
    connection.execute("CREATE TABLE IF NOT EXISTS schema_version(version INTEGER NOT NULL)")
    row = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    version = 0 if row[0] is None else int(row[0])
    if version > len(migrations):
        raise StorageError(
            f"The database {path} has version {version}, newer than the {len(migrations)} that this release knows. Install a newer release."
        )
    for step in range(version, len(migrations)):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in migrations[step]:
                connection.execute(statement)
            connection.execute("DELETE FROM schema_version")
            connection.execute("INSERT INTO schema_version VALUES (?)", (step + 1,))
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def prepare_intake(connection: sqlite3.Connection) -> None:
    """Make the temporary view `intake`: one INSERT into it is a whole group commit.

    One statement, since Python's `sqlite3` gives up the interpreter lock at each step and gets it back late beside a busy event
    loop (see `samples`). Documents and log lines come as JSON arrays of [key, body]; NULL means none.
    """
    columns = ", ".join(f"NULL AS {name}" for name in INTAKE_COLUMNS)
    pair = "json_extract(value, '$[0]'), json_extract(value, '$[1]')"
    does = {
        "chunk_body": "INSERT INTO sample_chunk SELECT NEW.chunk_key, NEW.chunk_body",
        "logs": f"INSERT INTO dispatch_log(dispatch_id, body) SELECT {pair} FROM json_each(NEW.logs) ORDER BY json_each.key",
    }
    for kind, put, drop in zip(DocumentKind, PUT_COLUMNS, DROP_COLUMNS, strict=True):
        does[put] = f"INSERT OR REPLACE INTO {table_of(kind)}(key, body) SELECT {pair} FROM json_each(NEW.{put})"
        does[drop] = f"DELETE FROM {table_of(kind)} WHERE key IN (SELECT value FROM json_each(NEW.{drop}))"
    connection.execute(f"CREATE TEMP VIEW intake AS SELECT {columns}")
    for column, statement in does.items():
        # A trigger each: what a group does not hold costs a look, and not a pass over an empty array.
        connection.execute(
            f"CREATE TEMP TRIGGER intake_{column} INSTEAD OF INSERT ON intake WHEN NEW.{column} IS NOT NULL BEGIN {statement}; END"
        )


INTAKE_STATEMENT = f"INSERT INTO intake VALUES ({', '.join('?' * len(INTAKE_COLUMNS))})"
CHUNK_STATEMENT = "INSERT INTO sample_chunk VALUES (?, ?)"
