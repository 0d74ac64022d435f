"""How often a session's orders failed in a row, and what that does to it."""

from msgspec.structs import replace

from counterflow.app.dispatching.failures import Failures
from counterflow.domain.ids import SessionUid
from counterflow.domain.setpoints import Rejected
from counterflow.engine.control.refusals import RefusalSettings, react

UID, OTHER = SessionUid(1), SessionUid(2)
SETTINGS = RefusalSettings()
REFUSED = replace(react(Rejected(reason_code=""), retried=True, settings=SETTINGS), rest_s=10.0)


def test_each_refusal_in_a_row_doubles_the_rest_up_to_the_long_one_and_an_acceptance_ends_the_row() -> None:
    failures = Failures(1, SETTINGS)
    rests_s = [failures.rest_s(UID, REFUSED) for _ in range(40)]
    assert rests_s[:3] == [REFUSED.rest_s, 2.0 * REFUSED.rest_s, 4.0 * REFUSED.rest_s]
    assert rests_s[-1] == SETTINGS.long_rest_s
    assert failures.rest_s(OTHER, REFUSED) == REFUSED.rest_s
    failures.worked(UID)
    assert failures.rest_s(UID, REFUSED) == REFUSED.rest_s


def test_an_unanswered_order_is_sent_again_as_often_as_the_setting_says_until_something_is_answered() -> None:
    failures = Failures(2, SETTINGS)
    assert [failures.may_retry(UID) for _ in range(3)] == [True, True, False]
    failures.answered(UID)
    assert failures.may_retry(UID)


def test_a_refused_level_is_known_until_the_session_is_over() -> None:
    failures = Failures(1, SETTINGS)
    failures.refuse_level(UID)
    failures.worked(UID)
    assert failures.is_level_refused(UID)
    assert not failures.is_level_refused(OTHER)
    failures.forget(UID)
    assert not failures.is_level_refused(UID)
