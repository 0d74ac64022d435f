"""Means over intervals from records of a pool: weighed by time, and unknown where nothing was known."""

from typing import Any

import pytest

from counterflow.adapters.openadr2.history import KEPT_S, LASTS_S, History
from counterflow.domain.grid import PoolTelemetry, Quality
from counterflow.domain.ids import PoolId


def record(at_s: float, power_w: float | None, quality: Quality = Quality.GOOD) -> PoolTelemetry:
    unknown: dict[str, Any] = dict.fromkeys(PoolTelemetry.__struct_fields__)
    known = {"sequence": int(at_s) + 1, "at_s": at_s, "pool": PoolId("all"), "measured_power_w": power_w, "quality": quality}
    return PoolTelemetry(**unknown | known | {"available": True, "following": False, "fault": False, "sessions": 1})


def history(*records: PoolTelemetry) -> History:
    made = History(PoolId("all"))
    for one in records:
        made.take(one)
    return made


def test_means_are_weighed_by_time() -> None:
    made = history(record(0.0, 100.0), record(4.0, 200.0), record(8.0, 300.0))
    assert [sample.export_w for sample in made.means(0.0, 8.0, 4.0)] == [100.0, 200.0]
    assert [sample.export_w for sample in made.means(2.0, 10.0, 8.0)] == [pytest.approx((2 * 100.0 + 4 * 200.0 + 2 * 300.0) / 8)]
    assert [(sample.from_s, sample.to_s) for sample in made.means(0.0, 8.0, 4.0)] == [(0.0, 4.0), (4.0, 8.0)]


def test_the_same_energy_on_any_grid() -> None:
    made = history(*(record(4.0 * number, 10.0 * number**2) for number in range(31)))
    energies = [sum(s.export_w * (s.to_s - s.from_s) for s in made.means(0.0, 120.0, step_s)) for step_s in (120.0, 60.0, 4.0, 1.0)]
    assert energies == pytest.approx([energies[0]] * 4)


def test_what_is_not_known_is_unknown_and_never_zero() -> None:
    assert history().means(0.0, 8.0, 4.0)[0].export_w is None
    assert history().newest is None
    made = history(record(0.0, 100.0), record(4.0, None), record(8.0, 50.0, Quality.MISSING), record(12.0, 300.0))
    assert [sample.export_w for sample in made.means(0.0, 16.0, 4.0)] == [100.0, None, None, 300.0]
    assert made.means(0.0, 8.0, 8.0)[0].export_w == 100.0, "known for half of it"
    assert made.means(-20.0, 4.0, 24.0)[0].export_w is None, "there was nothing before"


def test_a_record_does_not_hold_over_a_gap() -> None:
    made = history(record(0.0, 100.0), record(1_000.0, 300.0))
    assert made.means(LASTS_S, LASTS_S + 10.0, 10.0)[0].export_w is None
    assert made.means(1_000.0 + LASTS_S, 1_100.0, 10.0)[0].export_w is None


def test_an_hour_is_kept() -> None:
    made = history(*(record(10.0 * number, 1.0) for number in range(1_000)))
    assert made.means(0.0, 10.0, 10.0)[0].export_w is None
    assert made.means(9_990.0 - KEPT_S, 9_990.0, KEPT_S)[0].export_w == pytest.approx(1.0)
    assert made.sequence == 9_991
