"""A sign-in ends when it is idle, old, or left; tokens are shown nowhere."""

from counterflow.console.signing import Visitors


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
