"""Rows behind the image."""

import numpy as np
import pytest

from counterflow.domain.ids import SessionUid, StationId, TransactionId
from counterflow.engine.fleet.columns import FIRST_ROWS, READINGS, READINGS_BYTES, Columns, write_readings
from counterflow.engine.fleet.snapshot import COLUMNS

KEY = (StationId("A"), TransactionId("t"))


def test_a_released_row_is_empty_and_is_used_again() -> None:
    columns = Columns()
    first, second = columns.take(SessionUid(1), KEY), columns.take(SessionUid(2), KEY)
    columns.power_w[first] = 5.0
    columns.connected[first] = True
    columns.release(first)
    image = columns.image(0.0)
    for name, column in COLUMNS.items():
        assert np.array_equal(getattr(image, name)[first], column.empty, equal_nan=name not in ("uid",)), name
    assert image.keys == (None, KEY)
    assert columns.take(SessionUid(3), KEY) == first
    assert second == 1
    assert len(columns) == 2


def test_growing_keeps_every_cell() -> None:
    columns = Columns()
    for uid in range(1, 3 * FIRST_ROWS):
        row = columns.take(SessionUid(uid), KEY)
        columns.power_w[row] = float(uid)
    image = columns.image(0.0)
    assert image.uid.tolist() == list(range(1, 3 * FIRST_ROWS))
    assert image.power_w.tolist() == [float(uid) for uid in image.uid]


def test_one_write_fills_all_readings_of_one_row_only() -> None:
    columns = Columns()
    rows = [columns.take(SessionUid(uid), KEY) for uid in (1, 2, 3)]
    write_readings(columns.readings, rows[1] * READINGS_BYTES, *range(1, 11))
    image = columns.image(0.0)
    assert [getattr(image, name)[rows[1]] for name in READINGS] == [float(value) for value in range(1, 11)]
    for name in READINGS:
        assert np.isnan(getattr(image, name)[[0, 2]]).all()


def test_an_image_is_frozen_and_does_not_follow_later_writes() -> None:
    columns = Columns()
    row = columns.take(SessionUid(1), KEY)
    columns.power_w[row] = 1.0
    image = columns.image(7.0)
    columns.power_w[row] = 2.0
    assert image.power_w[row] == 1.0
    assert image.at_s == 7.0
    with pytest.raises(ValueError, match="read-only"):
        image.power_w[row] = 3.0
