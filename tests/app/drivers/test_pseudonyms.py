"""Pseudonyms: the same for the same token, nobody's without the key."""

from pathlib import Path

import pytest

from counterflow.app.drivers.pseudonyms import KEY_FILE, Pseudonyms, ensure_key


def test_a_token_keeps_its_pseudonym_whatever_its_case_and_tells_nothing() -> None:
    name = Pseudonyms(b"k" * 32)
    assert name("DECFW1") == name("decfw1")
    assert name("DECFW1") != name("DECFW2")
    assert name("") == ""
    assert len(name("DECFW1")) == 24
    assert Pseudonyms(b"l" * 32)("DECFW1") != name("DECFW1")


def test_the_key_is_made_once_for_the_owners_eyes_only(tmp_path: Path) -> None:
    key = ensure_key(tmp_path)
    assert ensure_key(tmp_path) == key
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert len(key) == 32


def test_a_damaged_key_stops_the_start_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_bytes(b"short")
    with pytest.raises(OSError, match="put it back from a backup"):
        ensure_key(tmp_path)
