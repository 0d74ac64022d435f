"""The tables of a session's life."""

from itertools import product

import pytest

from counterflow.domain.reasons import DropOutKind
from counterflow.domain.telemetry import EventKind, TransactionPhase
from counterflow.engine.fleet.lifecycle import MOVES, PHASE_DROP_OUT, Standing, phase_of


def test_every_standing_and_kind_has_a_move() -> None:
    assert set(MOVES) == set(product(Standing, EventKind))


def test_every_phase_says_whether_it_ends_dispatch() -> None:
    assert set(PHASE_DROP_OUT) == set(TransactionPhase)
    assert PHASE_DROP_OUT[TransactionPhase.SUSPENDED_EV] is DropOutKind.SUSPENDED
    assert PHASE_DROP_OUT[TransactionPhase.SUSPENDED_EVSE] is None


@pytest.mark.parametrize(
    ("trigger", "phase", "expected"),
    [
        ("MeterValuePeriodic", TransactionPhase.UNKNOWN, None),
        ("MeterValuePeriodic", TransactionPhase.CHARGING, TransactionPhase.CHARGING),
        ("EVDeparted", TransactionPhase.UNKNOWN, TransactionPhase.IDLE),
        ("EVCommunicationLost", TransactionPhase.UNKNOWN, TransactionPhase.IDLE),
        ("EVCommunicationLost", TransactionPhase.EV_CONNECTED, TransactionPhase.EV_CONNECTED),
        ("EVDetected", TransactionPhase.UNKNOWN, TransactionPhase.UNKNOWN),
    ],
)
def test_a_trigger_stands_in_for_a_phase_that_is_not_stated(
    trigger: str, phase: TransactionPhase, expected: TransactionPhase | None
) -> None:
    assert phase_of(trigger, phase) is expected
