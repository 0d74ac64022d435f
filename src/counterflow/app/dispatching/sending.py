"""A placing as a command to its station: at which stack level, and whether the profile that stands is moved or replaced."""

from counterflow.app.dispatching.dynamic import DynamicProfiles
from counterflow.app.dispatching.failures import Failures
from counterflow.app.dispatching.ledger_gate import LedgerGate
from counterflow.app.dispatching.setpoint_commands import (
    Placing,
    PlacingSettings,
    move_setpoint,
    place_discharge,
    place_fallback,
)
from counterflow.domain.commands import ProfileKind
from counterflow.engine.control.ledger import ProfileLedger
from counterflow.engine.fleet.state import FleetState


class Sending:
    """Hands commands to the gate."""

    def __init__(
        self,
        *,
        fleet: FleetState,
        ledger: ProfileLedger,
        gate: LedgerGate,
        dynamic: DynamicProfiles,
        failures: Failures,
        settings: PlacingSettings,
    ) -> None:
        self._fleet = fleet
        self._ledger = ledger
        self._gate = gate
        self._dynamic = dynamic
        self._failures = failures
        self._settings = settings

    def discharge(self, placing: Placing, now_s: float) -> None:
        """A discharge, or a limit to charging: an update of the profile that stands where that is enough, else a whole one."""
        profile_id = self._ledger.profile_id(placing.uid, ProfileKind.DISCHARGE)
        if self._dynamic.can_move(placing):
            self._gate.send(move_setpoint(placing, profile_id, is_refresh=False), placing.dispatch_id, now_s)
            return
        # A profile that is replaced cannot be moved any more, whatever becomes of the new one.
        self._dynamic.lost(placing.uid)
        level = self._level(placing, ProfileKind.DISCHARGE)
        self._gate.send(place_discharge(placing, profile_id, level, self._settings, now_s), placing.dispatch_id, now_s)

    def fallback(self, placing: Placing, now_s: float) -> None:
        """What the station falls back to when the discharge above it ends."""
        level = self._level(placing, ProfileKind.FALLBACK)
        profile_id = self._ledger.profile_id(placing.uid, ProfileKind.FALLBACK)
        self._fleet.fallback_sent(placing.uid, now_s)
        self._gate.send(place_fallback(placing, profile_id, level, self._settings, now_s), placing.dispatch_id, now_s)

    def _level(self, placing: Placing, kind: ProfileKind) -> int:
        """Above every foreign transaction profile where the operator gave us priority, and above a level that was refused."""
        above = placing.above_level
        if above is None and not self._failures.is_level_refused(placing.uid) and placing.max_stack_level != 0:
            return self._ledger.stack_level(kind, placing.max_stack_level)  # the usual case
        if self._failures.is_level_refused(placing.uid):
            above = self._ledger.stack_level(ProfileKind.DISCHARGE, placing.max_stack_level, above)
        level = self._ledger.stack_level(kind, placing.max_stack_level, above)
        # A limit to charging stands alone, so a station with one level has room for it.
        return 0 if placing.reduces and placing.max_stack_level == 0 else level
