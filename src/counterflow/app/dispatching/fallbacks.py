"""The fallback beneath a discharge: whether it stands, and the discharge that waits until it does (decisions 4)."""

from counterflow.app.dispatching.ledger_gate import LedgerGate
from counterflow.app.dispatching.setpoint_commands import Placing
from counterflow.domain.commands import ProfileKind
from counterflow.domain.ids import SessionUid
from counterflow.domain.records import ProfileState
from counterflow.domain.setpoints import Offline
from counterflow.engine.control.ledger import ProfileLedger
from counterflow.engine.fleet.state import FleetState

ENOUGH = 0.8
"""A fallback that stands is placed anew only when it charges at less than this share of what is wanted by now (the reserve is 1.25)."""


class Fallbacks:
    """At most one discharge of each session waits: the newest."""

    def __init__(self, fleet: FleetState, ledger: ProfileLedger, gate: LedgerGate) -> None:
        self._fleet = fleet
        self._ledger = ledger
        self._gate = gate
        self._waiting: dict[SessionUid, Placing] = {}

    def stands_beneath(self, placing: Placing) -> bool:
        """The station has accepted a fallback; beneath a discharge, one that charges fast enough. A limit to charging needs none."""
        if placing.reduces:
            return True
        record = self._ledger.get(placing.station_id, self._ledger.profile_id(placing.uid, ProfileKind.FALLBACK))
        if record is None or record.state is not ProfileState.PLACED:
            return False
        return placing.strongest_w == 0.0 or record.power_w >= ENOUGH * placing.fallback_power_w

    def is_under_way(self, placing: Placing) -> bool:
        """A message about the fallback has no answer yet."""
        return self._gate.is_under_way(placing.station_id, self._ledger.profile_id(placing.uid, ProfileKind.FALLBACK))

    def is_waiting(self, uid: SessionUid) -> bool:
        """Whether a discharge of this session waits for its fallback."""
        return uid in self._waiting

    def wait(self, placing: Placing) -> bool:
        """Let a discharge wait; False = one waited already, and its fallback was asked for."""
        waited = placing.uid in self._waiting
        self._waiting[placing.uid] = placing
        return not waited

    def waiting(self, uid: SessionUid) -> Placing | None:
        """The discharge that waits."""
        return self._waiting.get(uid)

    def forget(self, uid: SessionUid) -> bool:
        """Nothing waits any more for this session; whether something did."""
        return self._waiting.pop(uid, None) is not None

    def drop(self, uid: SessionUid, now_s: float) -> None:
        """The discharge that waited for its fallback never left: nothing of it is in force."""
        if self.forget(uid):
            self._fleet.setpoint_done(uid, Offline(), now_s)
