"""A sign-in ends when it is idle, old, or left; tokens are shown nowhere."""

import pytest

from counterflow.console.frame import ending_words
from counterflow.console.signing import Visitors, way_back, way_in


def test_a_sign_in_holds_while_it_is_used_and_not_for_ever() -> None:
    now = [1000.0]
    visitors = Visitors(idle_s=60.0, session_s=600.0, now_s=lambda: now[0])
    ann = visitors.enter("secret-token", "api:ann", "operator")
    assert ann.may_operate
    assert "secret" not in repr(ann)
    for _ in range(11):
        now[0] += 50.0
        assert visitors.find(ann.key) is ann
    now[0] += 55.0
    assert visitors.find(ann.key) is None, "too old, though it was used"
    assert len(visitors) == 0


def test_an_idle_sign_in_is_over_and_leaving_ends_one() -> None:
    now = [1000.0]
    visitors = Visitors(idle_s=60.0, session_s=600.0, now_s=lambda: now[0])
    bob = visitors.enter("t", "api:bob", "viewer")
    assert not bob.may_operate
    now[0] += 61.0
    assert visitors.find(bob.key) is None
    eve = visitors.enter("t", "api:eve", "viewer")
    visitors.leave(eve.key)
    visitors.leave("nobody")
    assert visitors.find(eve.key) is None
    visitors.enter("t", "api:old", "viewer")
    now[0] += 61.0
    visitors.enter("t", "api:new", "viewer")
    assert len(visitors) == 1, "what is over is dropped"


def test_a_sign_in_tells_when_it_ends() -> None:
    now = [1000.0]
    visitors = Visitors(idle_s=60.0, session_s=600.0, now_s=lambda: now[0])
    ann = visitors.enter("t", "api:ann", "operator")
    now[0] += 400.0
    assert visitors.ends_in_s(ann) == 200.0
    assert ending_words(200.0) == "Your sign-in ends in 3 minutes. Sign out and in again before you begin something."
    assert ending_words(20.0).startswith("Your sign-in ends in 1 minute.")
    assert ending_words(3000.0) == ""


@pytest.mark.parametrize(
    ("asked", "leads_to"),
    [
        ("/stations/CS%201", "/stations/CS%201"),
        ("", "/"),
        ("//evil.example", "/"),
        ("https://evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/sign-in?next=/", "/"),
        ("/\r\nSet-Cookie: x", "/"),
    ],
)
def test_a_sign_in_leads_back_to_pages_of_this_console_only(asked: str, leads_to: str) -> None:
    assert way_back(asked) == leads_to


def test_the_way_in_names_the_way_back() -> None:
    assert way_in("/stations/a b", is_over=True) == "/sign-in?next=%2Fstations%2Fa+b&over=1"
    assert way_in("/", is_over=False) == "/sign-in"
    assert way_in("/fleet", is_over=False) == "/sign-in?next=%2Ffleet"
