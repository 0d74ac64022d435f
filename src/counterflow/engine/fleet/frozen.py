"""Plans that a relative order counts from: frozen when it is accepted, written into its log with that, and read back.

A car that comes later has its plan frozen when it joins, and written with that. Whichever comes first holds for good.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np

from counterflow.domain.delivery import LogEntry, LogKind
from counterflow.domain.ids import SessionUid
from counterflow.domain.settlement import CarState, PlanFrozen
from counterflow.engine.fleet.eligibility import measured_sessions
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import B1, FleetImage
from counterflow.engine.fleet.undisturbed import CHARGES_FROM_W, ChargingTerms, Undisturbed

CARS_PER_LINE: Final = 1_000
"""So many states share a line of the log: it is one write, and it is read whole."""


class Frozen(NamedTuple):
    """The state of a car when its plan was frozen, when that was (epoch seconds), and on which occasion."""

    at_s: float
    car: CarState
    when: PlanFrozen = PlanFrozen.JOIN

    @property
    def drew_w(self) -> float:
        """What it drew then, W >= 0; of one that stood by, or of which no power was known, nothing."""
        power_w = self.car.power_w
        return power_w if power_w is not None and power_w >= CHARGES_FROM_W else 0.0


def at_acceptance(
    image: FleetImage, group: B1, others: Iterable[Undisturbed], terms: ChargingTerms, settings: CapabilitySettings
) -> Undisturbed:
    """The plans of the sessions of `group` (N,) that are there and whose power is known now: of one that is silent it is not.

    A car that an order of ours holds has no power of its own to go on at. It goes on in the plan that this order has of it, if it has one:
    `others`, aligned with the image, as of its time. Else it goes on at what it drew before where it is slowed, and has none yet where it
    discharges.
    """
    plans = Undisturbed.found(image, terms)
    moved = ~np.isnan(image.setpoint_w) & (image.at_s < image.hold_until_s)
    known = measured_sessions(image, image.at_s, settings) & group & (~moved | image.reduced)
    for other in others:
        has = image.occupied & group & moved & (other.uid == image.uid)
        plans, known = other.as_of(image.at_s, terms).where(has, plans), known | has
    return plans.rows(np.flatnonzero(known))


def lines_of(plans: Undisturbed, at_s: float) -> Iterator[LogEntry]:
    """The log lines of plans that were frozen at `at_s`, when their order was accepted."""
    uids, states = plans.uid.tolist(), plans.states()
    for first in range(0, len(uids), CARS_PER_LINE):
        part = slice(first, first + CARS_PER_LINE)
        yield LogEntry(at_s=at_s, kind=LogKind.PLANS, uids=tuple(uids[part]), cars=tuple(states[part]))


def frozen_in(log: Iterable[LogEntry]) -> dict[SessionUid, Frozen]:
    """The plan of each session, as it was frozen first."""
    found: dict[SessionUid, Frozen] = {}
    for entry in log:
        if entry.kind == LogKind.PLANS:
            for uid, car in zip(entry.uids, entry.cars, strict=True):
                found.setdefault(SessionUid(uid), Frozen(entry.at_s, car, PlanFrozen.ACCEPTANCE))
        elif entry.car is not None:
            found.setdefault(entry.session_uid, Frozen(entry.at_s, entry.car))
    return found


def thawed(frozen: Mapping[SessionUid, Frozen]) -> Undisturbed:
    """The plans that were read back."""
    at_s = np.array([one.at_s for one in frozen.values()], dtype=np.float64)
    return Undisturbed.of([one.car for one in frozen.values()], at_s, list(frozen))
