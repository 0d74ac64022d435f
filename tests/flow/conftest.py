"""The whole house on a virtual clock: control room, simulated fleet, and everything that happened in between."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np
import pytest

from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.app.config import Settings
from counterflow.app.replay import Replay
from counterflow.domain.dispatch_views import DispatchAnswer, DispatchView
from counterflow.domain.instructions import DispatchInstruction, DispatchOrder
from counterflow.domain.views import Refusal
from counterflow.sim.settings import WorldSettings
from counterflow.sim.vehicle import Cars

OPEN_HOUSE: dict[str, Any] = {"stations": {"accept_unknown": True}, "drivers": {"default": {"consent": True}}}


class Town(Replay):
    """A replay with the words that tests use."""

    def offer_w(self, duration_s: float, **order: Any) -> float:
        """What the fleet is said to give over a window that begins now, W."""
        dry = self.do(self.operations.order(DispatchOrder(discharge_power_w=1e9, duration_s=duration_s, **order), None, True))
        assert isinstance(dry, DispatchAnswer), dry
        return dry.dispatch.feasibility.expected_power_w

    def order(self, duration_s: float, share: float = 0.8, *, power_w: float | None = None, **order: Any) -> DispatchInstruction:
        """Order a share of what the fleet offers."""
        if power_w is None:
            power_w = share * self.offer_w(duration_s, **order)
        answer = self.do(self.operations.order(DispatchOrder(discharge_power_w=power_w, duration_s=duration_s, **order), None, False))
        assert isinstance(answer, DispatchAnswer), answer
        return answer.dispatch.instruction

    def try_order(self, duration_s: float, power_w: float, **order: Any) -> DispatchAnswer | Refusal:
        """An order that may be refused."""
        return self.do(self.operations.order(DispatchOrder(discharge_power_w=power_w, duration_s=duration_s, **order), None, False))

    def view(self, instruction: DispatchInstruction) -> DispatchView:
        """Where a dispatch stands."""
        view = self.operations.dispatch(instruction.dispatch_id)
        assert isinstance(view, DispatchView)
        return view

    def delivered_w(self, last_s: int = 10) -> float:
        """Mean true discharge over the last seconds, W."""
        return -float(np.mean(self.power_w[-last_s:]))

    def worst_error(self, target_w: float, from_s: int, to_s: int, mean_s: int = 10) -> float:
        """Largest relative error of the means of true power, between two seconds of the run."""
        steps = (to_s - from_s) // mean_s
        means_w = -np.array(self.power_w[from_s : from_s + steps * mean_s]).reshape(steps, mean_s).mean(axis=1)
        return float(np.abs(means_w / target_w - 1.0).max())

    def answering(
        self,
        action: str,
        way: Callable[[Any], Any],
        rows: Iterable[int] | None = None,
        only: Callable[[Any], bool] = lambda _payload: True,
    ) -> None:
        """Stations (None = all) answer an action their own way, where `only` lets its payload through: `way(frame)`, None = not at all."""
        for row in range(len(self.world.stations)) if rows is None else rows:
            station = self.world.stations[row]

            def hear(text: bytes, now_s: float, station: Any = station, receive: Any = station.receive) -> None:
                frame = json.loads(text)
                if frame[0] != 2 or frame[2] != action or not only(frame[3]):
                    receive(text, now_s)
                elif (answer := way(frame)) is not None:
                    self.world.at(now_s, lambda: self.world.csms.received(station.station_id, json.dumps(answer).encode(), self.now_s))

            station.receive = hear  # type: ignore[method-assign]

    def calls(self, station_id: str | None = None, since_s: float = 0.0) -> Counter[str]:
        """How often each action was sent."""
        return Counter(one.action for one in self.sent if one.at_s >= since_s and station_id in (None, one.station_id))

    def left_behind(self) -> list[Any]:
        """What must be empty in the end: profiles at stations, ledger, violations."""
        return [*self.world.fleet.remaining_profiles(), *self.room.ledger, *self.world.fleet.violations()]


def settings_of(changes: dict[str, Any] | None = None) -> Settings:
    """Everybody may connect and has consented; `changes` replaces sections."""
    return msgspec.convert(OPEN_HOUSE | (changes or {}), Settings)


@pytest.fixture
def town() -> Callable[..., Town]:
    """`town(60, seed=2, plant={...}, station={...}, mix={...}, settings={...}, cars=..., manual=True)`."""

    def build(
        stations: int,
        seed: int = 1,
        *,
        plant: dict[str, Any] | None = None,
        station: dict[str, Any] | None = None,
        mix: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
        cars: Cars | None = None,
        manual: bool = False,
        warm_up_s: float = 60.0,
        ready: Callable[[Town], Any] | None = None,
    ) -> Town:
        world = msgspec.convert({"stations": stations, "plant": plant or {}, "station": station or {}, "mix": mix or {}}, WorldSettings)
        journal = MemoryJournal(manual=manual)
        built = Town(settings_of(settings), world, seed, journal=journal, cars=cars)
        if ready is not None:
            ready(built)
        return built.run(warm_up_s)

    return build


IDEAL: dict[str, Any] = {
    "delay_min_s": 0.5, "delay_max_s": 1.0, "network_median_s": 0.05, "ramp_min_w_per_s": 5_000.0, "ramp_max_w_per_s": 20_000.0,
    "derated_share": 0.0, "deaf_share": 0.0, "soc_error_sd": 0.0, "attrition_per_h": 0.0, "command_loss": 0.0, "meter_loss": 0.0,
}  # fmt: skip
"""Cars that answer quickly and lose nothing, where a test is about something else."""


@pytest.fixture
def ideal() -> dict[str, Any]:
    """Plant settings of cars that answer quickly and lose nothing."""
    return dict(IDEAL)
