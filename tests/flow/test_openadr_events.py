"""Events of OpenADR that overlap, through the grid desk to the cars: who holds, and who gets his power back."""

from typing import Any

import pytest

from counterflow.adapters.openadr.meanings import Setpoint
from counterflow.adapters.openadr.models import Event
from counterflow.adapters.openadr.schedule import Asking, Withdrawal, changes, stretches
from counterflow.domain.grid import GridOutcome
from counterflow.domain.instructions import DispatchMode

PROGRAMS: dict[str, Any] = {"programs": [{"name": "north", "wire": "openadr", "sign": "load", "max_discharge_power_w": 100_000.0}]}


class Follower:
    """What the VEN does with every poll, on the virtual clock."""

    def __init__(self, at: Any) -> None:
        self.at = at
        self.begin_s = at.now_s
        self.askings: dict[str, Asking] = {}

    def ask(self, name: str, from_s: float, to_s: float, power_w: float, priority: int) -> None:
        setpoint = Setpoint(self.begin_s + from_s, self.begin_s + to_s, power_w, DispatchMode.GROSS_EXPORT)
        self.askings[name] = Asking(Event(id=name, program_id="p", priority=priority), (setpoint,))
        self.follow()

    def cancel(self, name: str) -> None:
        del self.askings[name]
        self.follow()

    def follow(self) -> None:
        standing = self.at.grid.standing("north")
        for change in changes("north", stretches(self.askings.values()), standing, self.at.now_s):
            if isinstance(change, Withdrawal):
                self.at.do(self.at.grid.withdraw("north", change.key, change.why))
            else:
                assert self.at.do(self.at.grid.place(change)).outcome in (GridOutcome.ACCEPTED, GridOutcome.CHANGED)

    def exported_w(self, at_s: float) -> float:
        """Discharge that meters tell, at `at_s` from the begin."""
        while self.at.now_s < self.begin_s + at_s:
            self.at.run(10)
            self.follow()
        power_w: float = next(view.export_power_w for view in self.at.operations.limits() if view.group == "site default")
        return power_w


@pytest.fixture
def ven(town: Any, ideal: dict[str, Any]) -> Follower:
    return Follower(town(20, 4, plant=ideal, settings=PROGRAMS))


def test_the_higher_event_holds_for_its_time_and_the_lower_one_before_and_after(ven: Follower) -> None:
    ven.ask("low", 0.0, 900.0, 30_000.0, priority=5)
    ven.ask("high", 300.0, 600.0, 60_000.0, priority=1)
    assert ven.exported_w(200.0) == pytest.approx(30_000.0, rel=0.05)
    assert ven.exported_w(370.0) == pytest.approx(60_000.0, rel=0.05)
    assert ven.exported_w(590.0) == pytest.approx(60_000.0, rel=0.05)
    assert ven.exported_w(670.0) == pytest.approx(30_000.0, rel=0.05)
    assert ven.exported_w(1000.0) < 1_000.0


def test_when_the_higher_event_is_cancelled_in_mid_window_the_lower_one_goes_on_from_there(ven: Follower) -> None:
    ven.ask("low", 0.0, 900.0, 30_000.0, priority=5)
    ven.ask("high", 0.0, 900.0, 60_000.0, priority=1)
    assert ven.exported_w(120.0) == pytest.approx(60_000.0, rel=0.05)
    ven.cancel("high")
    assert ven.exported_w(240.0) == pytest.approx(30_000.0, rel=0.05)
    ven.ask("low", 0.0, 900.0, 45_000.0, priority=5)
    assert ven.exported_w(340.0) == pytest.approx(45_000.0, rel=0.05)
