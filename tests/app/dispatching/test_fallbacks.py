"""The fallback beneath a discharge: what stands, and what waits."""

from collections import Counter
from typing import Any

import pytest

from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.app.dispatching.clearing import Clearing
from counterflow.app.dispatching.fallbacks import ENOUGH, Fallbacks
from counterflow.app.dispatching.ledger_gate import LedgerGate
from counterflow.app.dispatching.setpoint_commands import Placing
from counterflow.domain.commands import PlaceFallback, ProfileKind
from counterflow.domain.ids import SessionUid
from counterflow.domain.resources import ControlMode
from counterflow.domain.setpoints import PowerStep
from counterflow.engine.control.ledger import Happening, LedgerSettings, ProfileLedger

UID = SessionUid(7)


def placing(**changes: Any) -> Placing:
    order: dict[str, Any] = {
        "uid": UID, "station_id": "S1", "evse_id": 1, "transaction_id": "tx", "control_mode": ControlMode.SETPOINT, "max_stack_level": 9,
        "above_level": None, "max_offline_supported": True, "power_w": -5_000.0, "discharge_until_s": 300.0, "hold_until_s": 340.0,
        "fallback_power_w": 2_000.0, "dispatch_id": "d", "reason": "", "urgent": False,
    }  # fmt: skip
    return Placing(**order | changes)


@pytest.fixture
def ledger() -> ProfileLedger:
    return ProfileLedger(LedgerSettings())


@pytest.fixture
def fallbacks(ledger: ProfileLedger) -> Fallbacks:
    nobody: Any = None
    clearing = Clearing(fleet=nobody, ledger=ledger, journal=MemoryJournal(), link=nobody, messages=Counter(), retry_s=1.0)
    return Fallbacks(nobody, ledger, LedgerGate(ledger, MemoryJournal(), nobody, Counter(), clearing))


def stand(ledger: ProfileLedger, charge_power_w: float) -> None:
    """A fallback that its station has accepted."""
    profile_id = ledger.profile_id(UID, ProfileKind.FALLBACK)
    fields: dict[str, Any] = {
        "station_id": "S1",
        "evse_id": 1,
        "transaction_id": "tx",
        "session_uid": UID,
        "stack_level": 7,
        "start_s": 0.0,
    }
    ledger.sent(PlaceFallback(profile_id=profile_id, charge_power_w=charge_power_w, **fields), 0.0, "d")
    ledger.happened(fields["station_id"], profile_id, Happening.ACCEPTED)


def test_decision_4_nothing_stands_before_the_station_has_accepted_it(ledger: ProfileLedger, fallbacks: Fallbacks) -> None:
    assert not fallbacks.stands_beneath(placing())
    stand(ledger, 2_000.0)
    assert fallbacks.stands_beneath(placing())


def test_decision_4_beneath_a_discharge_it_charges_fast_enough(ledger: ProfileLedger, fallbacks: Fallbacks) -> None:
    stand(ledger, 0.9 * ENOUGH * 2_000.0)
    assert not fallbacks.stands_beneath(placing())
    assert fallbacks.stands_beneath(placing(power_w=0.0)), "a hold takes nothing from the car"
    comes = (PowerStep(from_s=100.0, power_w=-1_000.0),)
    assert not fallbacks.stands_beneath(placing(power_w=0.0, later=comes)), "and a discharge that is still to come does"


def test_the_newest_discharge_waits(fallbacks: Fallbacks) -> None:
    assert fallbacks.wait(placing())
    assert not fallbacks.wait(placing(power_w=-1.0))
    waiting = fallbacks.waiting(UID)
    assert waiting is not None
    assert waiting.power_w == -1.0
    assert fallbacks.forget(UID)
    assert not fallbacks.is_waiting(UID)
