"""Telemetry on disk: in order, bounded, readable by another release, and never in the way when the disk does not take it."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from counterflow.adapters.storage.schema import StorageError
from counterflow.adapters.storage.telemetry_store import TelemetryStore, open_telemetry
from counterflow.domain.grid import PoolTelemetry, Quality
from counterflow.domain.ids import PoolId

T0 = 1_795_000_000.0
DAY_S = 86_400.0
ALL, NORTH = PoolId("all"), PoolId("north")


def one(sequence: int, pool: PoolId = ALL, at_s: float | None = None, **more: Any) -> PoolTelemetry:
    fields: dict[str, Any] = {
        "measured_power_w": 1_000.5, "baseline_power_w": None, "target_power_w": None, "delivered_power_w": None,
        "committed_power_w": None, "up_power_w": None, "up_energy_wh": None, "down_power_w": None, "ramp_w_per_s": None, "sessions": 3,
        "sessions_ready": 2, "unmeasured_sessions": 0, "meter_age_s": 1.5, "quality": Quality.GOOD, "available": True,
        "following": False, "fault": False,
    }  # fmt: skip
    return PoolTelemetry(sequence=sequence, at_s=T0 + sequence if at_s is None else at_s, pool=pool, **(fields | more))


class Told:
    def __init__(self) -> None:
        self.records: list[PoolTelemetry] = []

    def __call__(self, records: Sequence[PoolTelemetry]) -> None:
        self.records.extend(records)

    def wait(self, count: int) -> None:
        deadline_s = time.monotonic() + 60.0
        while len(self.records) < count:
            assert time.monotonic() < deadline_s
            time.sleep(0.002)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def store_at(tmp_path: Path, told: Told) -> Callable[..., TelemetryStore]:
    return lambda keep_s=5 * DAY_S: TelemetryStore(tmp_path / "telemetry.sqlite3", keep_s, told)


def test_records_come_back_in_order_by_pool_and_over_a_restart(store_at: Any, told: Told) -> None:
    store = store_at()
    assert (store.last_sequence(ALL), store.since(ALL, 0, 10)) == (None, [])
    for number in range(1, 21):
        store.append([one(number), one(number + 100, NORTH, target_power_w=5e5, quality=Quality.STALE)])
    told.wait(40)
    store.close()
    store = store_at()
    assert (store.first_sequence(ALL), store.last_sequence(ALL), store.last_sequence(NORTH)) == (1, 20, 120)
    assert store.since(ALL, 17, 2) == [one(18), one(19)]
    assert store.since(NORTH, 118, 9) == [one(n, NORTH, target_power_w=5e5, quality=Quality.STALE) for n in (119, 120)]
    assert store.since(PoolId("nobody"), 0, 9) == []
    store.close()


def test_who_listens_is_told_of_each_record_once_it_can_be_read(store_at: Any, told: Told) -> None:
    store = store_at()
    store.append([one(1), one(2)])
    told.wait(2)
    assert told.records == store.since(ALL, 0, 9) == [one(1), one(2)]
    assert store.written == 2
    assert store.commit_s > 0.0
    store.close()


def test_what_is_older_than_it_is_kept_goes_a_portion_at_a_time(store_at: Any, told: Told) -> None:
    store = store_at(5 * DAY_S)
    store.append([one(number, at_s=T0 + 60.0 * number) for number in range(3_000)])
    store.append([one(3_000, at_s=T0 + 6 * DAY_S)])
    told.wait(3_001)
    store.append([one(3_001, at_s=T0 + 6 * DAY_S + 61.0)])
    told.wait(3_002)
    first = store.first_sequence(ALL)
    store.close()
    assert first == 1_442  # what is exactly as old as it may be, and younger, is still there
    assert first == -(-(DAY_S + 61.0) // 60.0)


def test_a_disk_that_takes_nothing_holds_up_nobody_and_gets_everything_later(store_at: Any, told: Told, tmp_path: Path) -> None:
    store = store_at()
    store.append([one(1)])
    told.wait(1)
    other = sqlite3.connect(tmp_path / "telemetry.sqlite3", isolation_level=None)
    other.execute("CREATE TRIGGER full BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    store.append([one(2)])
    store.append([one(3)])
    told.wait(3)
    assert store.failed == "Telemetry cannot be written: disk full."
    assert store.last_sequence(ALL) == 1
    other.execute("DROP TRIGGER full")
    other.close()
    store.append([one(4)])
    told.wait(4)
    assert store.failed is None
    assert [record.sequence for record in store.since(ALL, 0, 9)] == [1, 2, 3, 4]
    assert [record.sequence for record in told.records] == [1, 2, 3, 4]
    store.close()


def test_what_another_release_wrote_is_read_with_what_it_did_not_know_as_unknown(store_at: Any, told: Told, tmp_path: Path) -> None:
    store_at().close()
    other = sqlite3.connect(tmp_path / "telemetry.sqlite3", isolation_level=None)
    (fields,) = other.execute("SELECT fields FROM layouts").fetchone()
    names = [name for name in fields.strip("[]").replace('"', "").split(",") if name != "ramp_w_per_s"]
    values = [getattr(one(5), name) for name in names]
    other.execute("INSERT INTO layouts(fields) VALUES (?)", (msgspec.json.encode([*names, "later"]).decode(),))
    other.execute("INSERT INTO pools VALUES (1, 'all')")
    other.execute("INSERT INTO records VALUES (1, 5, 0, 2, ?)", (msgspec.msgpack.encode([*values, "x"]),))
    other.close()
    store = store_at()
    assert store.since(ALL, 0, 9) == [one(5)]
    store.close()


def test_a_file_that_is_no_database_is_set_aside_and_another_begun(store_at: Any, told: Told, tmp_path: Path) -> None:
    file = tmp_path / "telemetry.sqlite3"
    file.write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match="file is not a database"):
        store_at()
    store = open_telemetry(file, 5 * DAY_S, told)
    store.append([one(1)])
    told.wait(1)
    store.close()
    assert (tmp_path / "telemetry.sqlite3.broken").read_bytes() == b"not a database" * 100
    again = open_telemetry(file, 5 * DAY_S, told)
    assert again.since(ALL, 0, 9) == [one(1)]
    again.close()


def test_a_file_that_cannot_be_opened_for_another_reason_stays_where_it_is(told: Told, tmp_path: Path) -> None:
    (tmp_path / "telemetry.sqlite3").mkdir()
    with pytest.raises(StorageError, match="unable to open database file"):
        open_telemetry(tmp_path / "telemetry.sqlite3", DAY_S, told)
    assert (tmp_path / "telemetry.sqlite3").is_dir()


_WRITES_FOR_EVER = """
import sys
from pathlib import Path
from counterflow.adapters.storage.telemetry_store import TelemetryStore
sys.path.insert(0, sys.argv[2])
from test_telemetry_store import one
told = lambda records: print(records[-1].sequence, flush=True)
store = TelemetryStore(Path(sys.argv[1]), 1e6, told)
number = (store.last_sequence("all") or 0) + 1
while True:
    store.append([one(number)])
    number += 1
    __import__("time").sleep(0.001)
"""


def test_what_was_shown_before_a_kill_is_there_after_it_and_no_number_is_given_twice(store_at: Any, tmp_path: Path) -> None:
    shown: list[int] = []
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITES_FOR_EVER, str(tmp_path / "telemetry.sqlite3"), str(Path(__file__).parent)],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        shown += [int(process.stdout.readline()) for _ in range(20)]
        os.kill(process.pid, signal.SIGKILL)
        shown += [int(line) for line in process.stdout.read().split()]
        process.wait()
    assert shown == sorted(set(shown))
    store = store_at()
    kept = [record.sequence for record in store.since(ALL, 0, 10_000)]
    store.close()
    assert kept == list(range(1, kept[-1] + 1))
    assert set(shown) <= set(kept)
