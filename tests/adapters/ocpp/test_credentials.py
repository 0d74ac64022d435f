"""Basic authentication: what is stored, what fits, what is refused."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.adapters.ocpp.credentials import (
    Credentials,
    PasswordRefusedError,
    basic_header,
    hash_password,
    new_password,
    parse_basic,
    verify,
)

SALTED = "KpJyN1lXpQYRb9M8/rTz9AWhn+s8AlxUDjc3ZrkuzpU="
PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=16, max_size=64)


@settings(max_examples=100)
@given(PRINTABLE)
def test_a_password_fits_its_own_hash_and_a_changed_one_does_not(password: str) -> None:
    stored = hash_password(password)
    assert verify(stored, password)
    assert not verify(stored, password[:-1])
    assert not verify(stored, password + "x")


def test_the_same_password_is_stored_differently_each_time_and_never_in_clear() -> None:
    password = "correct horse battery"
    first, second = hash_password(password), hash_password(password)
    assert first != second
    assert password not in first
    assert base64.b64encode(password.encode()).decode() not in first


def test_a_given_salt_makes_the_known_digest() -> None:
    # Computed with: printf 'sixteen chars ok' | openssl dgst -sha256 -hmac 'salt' -binary | base64
    assert hash_password("sixteen chars ok", b"salt") == "hmac-sha256$c2FsdA==$" + SALTED
    assert verify("hmac-sha256$c2FsdA==$" + SALTED, "sixteen chars ok")


@pytest.mark.parametrize("stored", ["", "hmac-sha256", "hmac-sha256$??$??", "md5$c2FsdA==$c2FsdA==", "hmac-sha256$c2FsdA==$"])
def test_a_damaged_or_foreign_stored_hash_fits_nothing(stored: str) -> None:
    assert not verify(stored, "sixteen chars ok")


def test_a_password_that_is_not_text_fits_nothing() -> None:
    assert not verify(hash_password("sixteen chars ok"), "\ud800" * 16)


@pytest.mark.parametrize("length", [0, 15, 65, 1000])
def test_a00_a_password_outside_16_to_64_characters_is_refused_with_a_sentence(length: int) -> None:
    with pytest.raises(PasswordRefusedError, match=rf"16 to 64 characters; this one has {length}\."):
        hash_password("x" * length)


@pytest.mark.parametrize("length", [16, 64])
def test_a00_the_bounds_themselves_are_accepted_and_count_characters_not_bytes(length: int) -> None:
    assert verify(hash_password("ü" * length), "ü" * length)


def test_control_characters_are_refused() -> None:
    with pytest.raises(PasswordRefusedError, match="control characters"):
        hash_password("sixteen chars\r\nok")


def test_new_passwords_are_accepted_everywhere_and_never_repeat() -> None:
    fresh = {new_password() for _ in range(100)}
    assert len(fresh) == 100
    assert all(16 <= len(password) <= 40 and verify(hash_password(password), password) for password in fresh)


@settings(max_examples=100)
@given(st.text(max_size=40).filter(lambda user: ":" not in user), st.text(max_size=64))
def test_what_basic_header_writes_parse_basic_reads_colons_and_utf8_included(user: str, password: str) -> None:
    credentials = Credentials(user, password)
    assert parse_basic(basic_header(credentials)) == credentials


def test_only_the_first_colon_separates() -> None:
    assert parse_basic("Basic " + base64.b64encode(b"CS1:a:b::c").decode()) == Credentials("CS1", "a:b::c")


def test_scheme_case_and_missing_padding_are_forgiven() -> None:
    assert parse_basic("bAsIc " + base64.b64encode(b"CS1:pass").decode().rstrip("=")) == Credentials("CS1", "pass")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!!",
        "Bearer Q1MxOnBhc3M=",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"CS1:\xff\xfe").decode(),
        "Basic Q1Mx\udcffOnBhc3M=",
    ],
)
def test_anything_else_is_no_credentials(header: str) -> None:
    assert parse_basic(header) is None


def test_the_text_form_of_credentials_hides_the_password() -> None:
    assert "secret" not in repr(Credentials("CS1", "secret")) + str(Credentials("CS1", "secret"))
