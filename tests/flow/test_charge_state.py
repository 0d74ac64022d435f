"""A state of charge that an OpenADR event asks of a pool: its cars are there by the interval's end, or it is refused."""

from typing import Any

import pytest

from counterflow.adapters.openadr.charge_state import ChargePlan, ChargePlans
from counterflow.adapters.openadr.meanings import CHARGE_STATE, Meaning, meaning_of
from counterflow.adapters.openadr.models import Event, EventPayloadDescriptor
from counterflow.adapters.openadr.schedule import Asking, Withdrawal, changes, stretches
from counterflow.adapters.openadr.timeline import Course, Piece
from counterflow.domain.grid import Program, Wire
from counterflow.domain.instructions import DispatchState

PROGRAMS: dict[str, Any] = {"programs": [{"name": "north", "wire": "openadr", "sign": "load", "max_discharge_power_w": 200_000.0}]}
WINDOW_S = 1800.0


class Follower:
    """What the VEN does with every poll, on the virtual clock."""

    def __init__(self, at: Any, share: float) -> None:
        self.at = at
        descriptors = (EventPayloadDescriptor(payload_type=CHARGE_STATE, units="PERCENT"),)
        self.event = Event(id="e-1", program_id="p", payload_descriptors=descriptors)
        self.course = Course({CHARGE_STATE: (Piece(at.now_s, at.now_s + WINDOW_S, share, 0),)})
        self.kept: dict[str, ChargePlan] = {}

    def follow(self) -> Meaning:
        at = self.at
        (program,) = at.grid.programs(Wire.OPENADR)
        assert isinstance(program, Program)
        plans = ChargePlans(at.now_s, {program.pool: at.grid.telemetry(program.pool)}, self.kept)
        meaning = meaning_of(self.event, self.course, None, program, (), plans)
        self.kept = plans.made
        askings = [Asking(self.event, meaning.setpoints)] if meaning.setpoints else []
        for change in changes("north", stretches(askings), at.grid.standing("north"), at.now_s):
            if isinstance(change, Withdrawal):
                at.do(at.grid.withdraw("north", change.key, change.why))
            else:
                assert at.do(at.grid.place(change)).accepted
        return meaning


def level(at: Any) -> float:
    plant = at.world.fleet.plant
    return float(plant.energy_wh.sum() / plant.capacity_wh.sum())


@pytest.mark.parametrize("lower_by", [0.03, 0.05])
def test_the_pool_is_there_by_the_end_of_the_interval(town: Any, ideal: dict[str, Any], lower_by: float) -> None:
    at = town(20, 1, plant=ideal, settings=PROGRAMS)
    begins = level(at)
    follower = Follower(at, round(begins - lower_by, 3))
    for _ in range(int(WINDOW_S / 20.0)):
        assert follower.follow().refused == ""
        at.run(20)
    assert level(at) == pytest.approx(begins - lower_by, abs=0.012)
    states = [view.instruction.state for view in at.operations.dispatches()]
    assert DispatchState.RUNNING not in states, "it ends with the interval"
    assert len(states) <= 6, "a plan is not changed for little"


def test_what_drivers_did_not_agree_to_is_refused_and_nothing_is_discharged(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 1, plant=ideal, settings=PROGRAMS)
    meaning = Follower(at, 0.05).follow()
    assert "by what drivers agreed they can give" in meaning.refused or "the pool can give" in meaning.refused
    assert at.operations.dispatches() == []
