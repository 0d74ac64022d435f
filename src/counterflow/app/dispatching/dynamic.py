"""Dynamic profiles that stand at stations: which setpoint may move one, and when its watchdog is due to be refreshed.

Two ends bound each (decisions 3). validTo is never later than floor, departure and window allow for the power in force, and no
message moves it: a setpoint that must end sooner is placed anew. The watchdog ends it sooner still when we fall silent.
"""

import heapq
from itertools import count
from math import floor

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from counterflow.app.dispatching.setpoint_commands import Placing, PlacingSettings
from counterflow.domain.commands import MoveSetpoint, PlaceDischarge
from counterflow.domain.ids import SessionUid
from counterflow.engine.control.orders import spread


class Standing(Struct):
    """A Dynamic profile that its station has accepted; `heard_s` is when it last accepted anything about it."""

    valid_to_s: float
    watchdog_s: int
    heard_s: float


class DynamicProfiles:
    """All that stand, and a heap of when each is refreshed next."""

    def __init__(self, settings: PlacingSettings) -> None:
        self._settings = settings
        self._standing: dict[SessionUid, Standing] = {}
        self._due: list[tuple[float, int, SessionUid, Standing]] = []
        self._tickets = count()

    def shaped(self, placing: Placing, now_s: float, *, may: bool) -> Placing:
        """The setpoint with the ends of the profile that will carry it: Dynamic if it may be, and as long as its end is far enough."""
        if not may:
            return placing
        standing = self._standing.get(placing.uid)
        if standing is not None and standing.valid_to_s <= placing.discharge_until_s and standing.valid_to_s - now_s > standing.watchdog_s:
            return _ending(placing, standing.valid_to_s, standing.watchdog_s)
        watchdog_s = self.watchdog_s(placing.uid)
        # With an end that holds at full power no later setpoint needs a new profile.
        valid_to_s = float(floor(placing.discharge_until_s))
        if placing.full_until_s < valid_to_s and placing.full_until_s - now_s > 2.0 * watchdog_s:
            valid_to_s = float(floor(placing.full_until_s))
        # The last stretch is an Absolute profile, which ends in a hold (ADR 4).
        return _ending(placing, valid_to_s, watchdog_s) if valid_to_s - now_s > watchdog_s else placing

    def watchdog_s(self, uid: SessionUid) -> int:
        """The dead-man of a session: ±20 % around the setting, so that no two fall silent together."""
        share = float(spread(np.array([int(uid)]))[0])
        return max(1, floor(self._settings.watchdog_s * (0.8 + 0.4 * share)))

    def can_move(self, shaped: Placing) -> bool:
        """Whether the profile that stands is the one that this setpoint was shaped for."""
        standing = self._standing.get(shaped.uid)
        return standing is not None and shaped.watchdog_s is not None and standing.valid_to_s == shaped.discharge_until_s

    def accepted(self, command: PlaceDischarge | MoveSetpoint, now_s: float) -> None:
        """The station took it: the watchdog runs from now on."""
        uid = command.session_uid
        if isinstance(command, MoveSetpoint):
            standing = self._standing.get(uid)
            if standing is not None:
                standing.heard_s = now_s
        elif command.watchdog_s is not None:
            standing = self._standing[uid] = Standing(command.discharge_until_s, command.watchdog_s, now_s)
            self._plan(uid, standing)

    def lost(self, uid: SessionUid) -> None:
        """It is not known any more to stand."""
        self._standing.pop(uid, None)

    def due(self, now_s: float, most: int) -> list[SessionUid]:
        """Up to `most` sessions whose watchdog is to be refreshed now; each is named once."""
        uids: list[SessionUid] = []
        while self._due and len(uids) < most and self._due[0][0] <= now_s:
            _, _, uid, standing = heapq.heappop(self._due)
            if self._standing.get(uid) is not standing:
                continue
            if standing.heard_s + standing.watchdog_s / 3.0 <= now_s:
                uids.append(uid)
                standing.heard_s = now_s  # until its answer says better, the next is due a third later
            self._plan(uid, standing)
        return uids

    def _plan(self, uid: SessionUid, standing: Standing) -> None:
        heapq.heappush(self._due, (standing.heard_s + standing.watchdog_s / 3.0, next(self._tickets), uid, standing))

    def next_due_s(self) -> float:
        """When `due` has something to say next, or nearly; inf = never."""
        return self._due[0][0] if self._due else float("inf")


def _ending(placing: Placing, valid_to_s: float, watchdog_s: int) -> Placing:
    return replace(placing, discharge_until_s=valid_to_s, hold_until_s=valid_to_s, watchdog_s=watchdog_s)
