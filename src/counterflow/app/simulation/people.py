"""Operators: they order, amend, cancel, clear, press the emergency stop and reset it, at any moment."""

from collections.abc import Callable
from typing import Final

from counterflow.app.simulation.universe import Universe
from counterflow.domain.dispatch_views import DispatchAnswer
from counterflow.domain.instructions import Amendment, DispatchOrder
from counterflow.domain.views import Refusal
from counterflow.engine.control.book import LIVE_STATES

Act = Callable[[Universe], None]


def act(universe: Universe) -> None:
    """One act now, the next one later."""
    if universe.peace:
        return
    random = universe.random
    if universe.server.alive:
        live = universe.server.room.dispatcher.book.in_state(*LIVE_STATES)
        name = random.choices(NAMES, WEIGHTS)[0] if live else "order"
        universe.trace.note(universe.now_s, "operator", name)
        universe.trace.counts[name] += 1
        ACTS[name][1](universe)
    universe.at(universe.now_s + random.expovariate(1.0 / universe.settings.person_every_s), act, universe)


def make_peace(universe: Universe) -> None:
    """The last acts: everything is cancelled, the stop is reset."""
    if not universe.server.alive:
        universe.at(universe.now_s + 5.0, make_peace, universe)
        return
    _reset(universe)
    universe.server.do(universe.server.operations.clear_all("simulation"), lambda _told: None)


def _order(universe: Universe) -> None:
    _place(universe, 0.0)


def _order_ahead(universe: Universe) -> None:
    _place(universe, universe.random.uniform(10.0, 60.0))


def _place(universe: Universe, lead_s: float) -> None:
    random, server = universe.random, universe.server
    offer_w = max(5_000.0, server.operations.fleet().available_power_w)
    order = DispatchOrder(
        discharge_power_w=offer_w * random.uniform(0.2, 0.9),
        duration_s=random.uniform(40.0, 240.0),
        start_s=None if lead_s == 0.0 else server.now_s + lead_s,
        priority=random.choice((0, 0, 1, 2)),
        ordered_by="simulation",
    )
    key = f"k{random.getrandbits(24):06x}"

    def told(answer: object) -> None:
        if isinstance(answer, DispatchAnswer):
            universe.watch.acknowledged[answer.dispatch.instruction.dispatch_id] = key
        elif isinstance(answer, Refusal):
            universe.trace.note(universe.now_s, "operator", f"is refused: {answer.sentence}")

    server.do(server.operations.order(order, key, False), told)


def _amend(universe: Universe) -> None:
    random, server = universe.random, universe.server
    instruction = random.choice(server.room.dispatcher.book.in_state(*LIVE_STATES))
    power_w = instruction.steps[-1].discharge_power_w * random.uniform(0.3, 1.3)
    end_s = instruction.end_s + random.uniform(-30.0, 60.0)
    change = random.choice((Amendment(discharge_power_w=power_w), Amendment(end_s=end_s)))
    server.do(server.operations.amend(instruction.dispatch_id, change, "simulation"), lambda _told: None)


def _cancel(universe: Universe) -> None:
    server = universe.server
    instruction = universe.random.choice(server.room.dispatcher.book.in_state(*LIVE_STATES))
    server.do(server.operations.cancel(instruction.dispatch_id, "simulation"), lambda _told: None)


def _clear_all(universe: Universe) -> None:
    universe.server.do(universe.server.operations.clear_all("simulation"), lambda _told: None)


def _stop(universe: Universe) -> None:
    def told(_answer: object) -> None:
        if universe.watch.pressed_s is None and universe.server.room.dispatcher.latch.on:
            universe.watch.pressed_s = universe.now_s

    universe.server.do(universe.server.operations.emergency_stop(True, "simulation"), told)
    universe.at(universe.now_s + universe.random.uniform(15.0, 60.0), _reset, universe)


def _reset(universe: Universe) -> None:
    if not universe.server.alive:
        universe.at(universe.now_s + 5.0, _reset, universe)
        return
    universe.watch.pressed_s = None
    universe.server.do(universe.server.operations.emergency_stop(False, "simulation"), lambda _told: None)


ACTS: Final[dict[str, tuple[float, Act]]] = {
    "order": (6.0, _order),
    "order ahead": (2.0, _order_ahead),
    "amend": (3.0, _amend),
    "cancel": (1.5, _cancel),
    "clear all": (0.5, _clear_all),
    "emergency stop": (1.0, _stop),
}
NAMES: Final = tuple(ACTS)
WEIGHTS: Final = tuple(weight for weight, _ in ACTS.values())
