"""The frozen image."""

import pytest

from counterflow.engine.fleet.snapshot import COLUMNS, FleetImage, empty_columns, freeze


def test_every_column_is_a_field_of_the_image() -> None:
    assert set(COLUMNS) == set(FleetImage.__struct_fields__) - {"at_s", "keys"}


def test_columns_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        freeze(empty_columns(1), (None, None), 0.0)


def test_an_image_of_free_rows_holds_nothing() -> None:
    image = freeze(empty_columns(3), (None, None, None), 0.0)
    assert len(image) == 3
    assert not image.occupied.any()
