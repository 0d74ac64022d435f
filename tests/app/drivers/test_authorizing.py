"""Lists first, then the call-out; and what holds when nobody answers."""

from pathlib import Path
from typing import Any

import pytest

from counterflow.app.drivers.authorizing import AuthorizationSettings, Authorizing, ListError, OnFailure, Question, Told, Verdict
from counterflow.domain.ids import StationId

YES, CHARGE_ONLY = Verdict("Accepted", True), Verdict("Accepted", False)


class Outside:
    """Remembers what it was asked; `tell` answers the oldest question."""

    def __init__(self) -> None:
        self.asked: list[tuple[Question, Told]] = []

    def __call__(self, question: Question, told: Told) -> None:
        self.asked.append((question, told))

    def tell(self, verdict: Verdict | None, now_s: float = 1.0) -> None:
        self.asked.pop(0)[1](verdict, now_s)


def question(token: str = "A") -> Question:
    return Question(StationId("S"), token, "Central", "")


def desk(outside: Outside | None = None, **settings: Any) -> tuple[Authorizing, list[str]]:
    settled: list[str] = []
    return Authorizing(AuthorizationSettings(**settings), str.casefold, outside, lambda driver, _now_s: settled.append(driver)), settled


def test_without_lists_and_call_out_everybody_may_charge_and_consent_decides() -> None:
    one, _ = desk()
    assert one.verdict(question(), 0.0) == YES
    assert one.discharge_allowed("a") is None


def test_lists_come_first_and_case_does_not_matter(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# the fleet\nB\n!c\n\n")
    outside = Outside()
    one, _ = desk(outside, accept_unknown=False, allowed=("a",), blocked=("X",), list_file=str(file))
    assert [one.verdict(question(token), 0.0) for token in ("x", "C", "unknown")] == [
        Verdict("Blocked", False),
        Verdict("Blocked", False),
        Verdict("Unknown", False),
    ]
    assert outside.asked == []
    assert one.verdict(question("b"), 0.0, lambda _verdict: None) is None
    assert len(outside.asked) == 1
    assert one.discharge_allowed("x") is False


def test_a_list_that_cannot_be_read_stops_the_start() -> None:
    with pytest.raises(ListError, match="no-such-file"):
        desk(list_file="no-such-file")


def test_an_answer_waits_for_the_call_out_and_the_verdict_holds_for_a_while() -> None:
    outside, heard = Outside(), []
    one, settled = desk(outside, verdict_kept_s=60.0)
    assert one.verdict(question(), 0.0, heard.append) is None
    assert one.verdict(question("a"), 0.5, heard.append) is None, "asked once for all who wait"
    outside.tell(YES)
    assert (heard, settled, outside.asked) == ([YES, YES], ["a"], [])
    assert one.verdict(question(), 30.0, heard.append) == YES
    assert one.discharge_allowed("a") is True
    assert one.verdict(question(), 62.0, heard.append) is None, "asked again"


@pytest.mark.parametrize(
    ("on_failure", "verdict"),
    [(OnFailure.REFUSE, Verdict("Invalid", False)), (OnFailure.CHARGE, CHARGE_ONLY), (OnFailure.DISCHARGE, YES)],
)
def test_when_nobody_answers_the_setting_decides_and_it_is_asked_again(on_failure: OnFailure, verdict: Verdict) -> None:
    outside, heard = Outside(), []
    one, _ = desk(outside, on_failure=on_failure)
    one.verdict(question(), 0.0, heard.append)
    outside.tell(None)
    assert heard == [verdict]
    assert one.discharge_allowed("a") is verdict.discharge
    assert one.failures == 1
    assert one.verdict(question(), 1.0, heard.append) is None


def test_a_transaction_waits_for_nobody() -> None:
    outside = Outside()
    one, settled = desk(outside)
    assert one.verdict(question(), 0.0) == CHARGE_ONLY
    outside.tell(YES)
    assert settled == ["a"]
    assert one.verdict(question(), 2.0) == YES


def test_too_many_at_once_are_not_asked() -> None:
    outside, heard = Outside(), []
    one, _ = desk(outside, most_at_once=1)
    assert one.verdict(question("a"), 0.0, heard.append) is None
    assert one.verdict(question("b"), 0.0, heard.append) == CHARGE_ONLY
    assert len(outside.asked) == 1


def test_an_answer_that_comes_at_once_is_given_at_once() -> None:
    one, _ = desk()
    one = Authorizing(AuthorizationSettings(), str.casefold, lambda _question, told: told(YES, 0.0))
    assert one.verdict(question(), 0.0, lambda _verdict: None) == YES
