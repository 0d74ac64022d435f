"""The database file's versions."""

import sqlite3
from pathlib import Path

import pytest

from counterflow.adapters.storage.schema import (
    DROP_COLUMNS,
    INTAKE_COLUMNS,
    INTAKE_STATEMENT,
    MIGRATIONS,
    PUT_COLUMNS,
    StorageError,
    migrate,
    open_database,
    prepare_intake,
    table_of,
)
from counterflow.domain.records import DocumentKind


def tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_each_kind_of_document_has_its_table(tmp_path: Path) -> None:
    connection = open_database(tmp_path / "a.db")
    assert {table_of(kind) for kind in DocumentKind} <= tables(connection)
    connection.close()


def test_an_old_database_is_brought_forward_step_by_step_and_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    connection = open_database(path)
    connection.execute("INSERT INTO document_latch VALUES ('k', '{}')")
    newer = (*MIGRATIONS, ("ALTER TABLE document_latch ADD COLUMN note TEXT",), ("UPDATE document_latch SET note = 'seen'",))
    migrate(connection, path, newer)
    migrate(connection, path, newer)
    assert connection.execute("SELECT key, note FROM document_latch").fetchall() == [("k", "seen")]
    assert connection.execute("SELECT version FROM schema_version").fetchall() == [(len(newer),)]
    with pytest.raises(StorageError, match="newer than"):
        migrate(connection, path)
    connection.close()


def test_a_step_that_fails_leaves_the_version_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    connection = open_database(path)
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, path, (*MIGRATIONS, ("CREATE TABLE extra(x)", "CREATE TABLE extra(x)")))
    assert "extra" not in tables(connection)
    assert connection.execute("SELECT version FROM schema_version").fetchall() == [(len(MIGRATIONS),)]
    connection.close()


def test_commits_are_made_to_survive_a_power_cut(tmp_path: Path) -> None:
    connection = open_database(tmp_path / "a.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    connection.close()


def test_an_intake_is_all_or_nothing(tmp_path: Path) -> None:
    connection = open_database(tmp_path / "a.db")
    prepare_intake(connection)
    columns = "INSERT INTO intake(chunk_key, chunk_body, logs) VALUES (?, ?, ?)"
    with pytest.raises(sqlite3.OperationalError, match="malformed JSON"):
        connection.execute(columns, (1, b"x" * 56, "[broken"))
    assert connection.execute("SELECT count(*) FROM sample_chunk").fetchone() == (0,)
    connection.execute(columns, (1, b"x" * 56, '[["d","{}"]]'))
    assert connection.execute("SELECT count(*) FROM sample_chunk").fetchone() == (1,)
    connection.close()


def test_each_kind_of_document_is_put_and_dropped_by_the_intake_and_nothing_else_with_it(tmp_path: Path) -> None:
    connection = open_database(tmp_path / "a.db")
    prepare_intake(connection)

    def take(**columns: object) -> None:
        connection.execute(INTAKE_STATEMENT, tuple(columns.get(name) for name in INTAKE_COLUMNS))

    def held() -> dict[DocumentKind, list[tuple[str, str]]]:
        return {kind: connection.execute(f"SELECT key, body FROM {table_of(kind)} ORDER BY key").fetchall() for kind in DocumentKind}

    for kind, put, drop in zip(DocumentKind, PUT_COLUMNS, DROP_COLUMNS, strict=True):
        take(**{put: '[["a",{"n":1}],["b",{"n":2}]]'})
        assert held() == {other: [("a", '{"n":1}'), ("b", '{"n":2}')] if other is kind else [] for other in DocumentKind}
        take(**{put: '[["b",{"n":3}]]', drop: '["a"]'})
        assert held()[kind] == [("b", '{"n":3}')]
        take(**{drop: '["b"]'})
        assert not any(held().values())
    take(chunk_key=7, chunk_body=b"x", logs='[["d-1",{"n":1}]]')
    assert connection.execute("SELECT * FROM sample_chunk").fetchall() == [(7, b"x")]
    assert connection.execute("SELECT dispatch_id, body FROM dispatch_log").fetchall() == [("d-1", '{"n":1}')]
    connection.close()
