"""Between a decision and the wire: every profile of ours passes here, so that three rules hold in one place.

1. The ledger entry is in the journal before the message leaves (the server sends a frame only once the journal is durable).
2. No discharge profile leaves before its fallback stands beneath it (decisions 4).
3. Whatever may be at a station is either in use or being cleared; an unreachable station keeps a tombstone.
"""

from collections import Counter
from collections.abc import Container
from typing import Final, assert_never

from counterflow.app.dispatching.afrr import AfrrSignals
from counterflow.app.dispatching.clearing import Clearing
from counterflow.app.dispatching.control_paths import DYNAMIC, ControlPaths
from counterflow.app.dispatching.dynamic import DynamicProfiles
from counterflow.app.dispatching.failures import Failures, Refused
from counterflow.app.dispatching.fallbacks import Fallbacks
from counterflow.app.dispatching.kinds import ProfileKinds
from counterflow.app.dispatching.ledger_gate import LedgerGate
from counterflow.app.dispatching.sending import Sending
from counterflow.app.dispatching.setpoint_commands import (
    Placing,
    PlacingSettings,
    dynamic_wanted,
    move_setpoint,
)
from counterflow.app.dispatching.sweep import Sweep
from counterflow.domain.commands import ClearProfile, Command, MoveSetpoint, PlaceDischarge, PlaceFallback, ProfileKind, SendSignal
from counterflow.domain.ids import SessionUid, StationId
from counterflow.domain.instructions import DispatchInstruction
from counterflow.domain.records import DocumentKind, ProfileRecord, ProfileState
from counterflow.domain.setpoints import (
    Accepted,
    NothingThere,
    NotSupported,
    Offline,
    RawAnswer,
    Rejected,
    Superseded,
    TimedOut,
)
from counterflow.domain.telemetry import CommandCompleted
from counterflow.engine.control.ledger import Happening, ProfileLedger
from counterflow.engine.control.refusals import Reaction, RefusalSettings, Response, react, words_of
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.ports import Journal, StationLink

_PLACED: Final = (PlaceDischarge, MoveSetpoint, PlaceFallback)
_OF_PROFILES: Final = (*_PLACED, ClearProfile)


class Placement:
    """Owns the ledger and the newest order of each session."""

    def __init__(
        self,
        *,
        fleet: FleetState,
        ledger: ProfileLedger,
        journal: Journal,
        link: StationLink,
        settings: PlacingSettings,
        refusals: RefusalSettings,
        clear_retry_s: float,
    ) -> None:
        self.ledger = ledger
        self.messages_by_dispatch: Counter[str] = Counter()
        """Handed out for each dispatch; one that turns out not to leave is taken off again."""
        self.messages_sent = 0
        """Left for a station since the start, of all dispatches and of none; it only grows."""
        self._fleet = fleet
        self._journal = journal
        self._settings = settings
        self._refusals = refusals
        self._clearing = Clearing(
            fleet=fleet, ledger=ledger, journal=journal, link=link, messages=self.messages_by_dispatch, retry_s=clear_retry_s
        )
        self.paths = ControlPaths(journal, settings.update_refusals)
        self.signals = AfrrSignals(ledger, link, self.paths)
        self._dynamic = DynamicProfiles(settings)
        self._kinds = ProfileKinds(self.paths, self._dynamic)
        self._gate = LedgerGate(ledger, journal, link, self.messages_by_dispatch, self._clearing)
        self._fallbacks = Fallbacks(fleet, ledger, self._gate)
        self._failures = Failures(settings.timeout_retries, refusals)
        self._sending = Sending(
            fleet=fleet, ledger=ledger, gate=self._gate, dynamic=self._dynamic, failures=self._failures, settings=settings
        )
        self._latest: dict[SessionUid, Placing] = {}
        self.sweep = Sweep(ledger, self._clearing, self._latest.__contains__)

    def place(self, placing: Placing, now_s: float) -> None:
        """Send a setpoint, after its fallback if that does not stand yet. A newer one replaces one that still waits."""
        placing = placing.at(now_s)
        uid, reduces = placing.uid, placing.reduces
        self._latest[uid] = placing
        if self._fallbacks.is_waiting(uid):
            self._fleet.setpoint_done(uid, Offline(), now_s)
        placing = self._kinds.shaped(placing, now_s)
        self._fleet.setpoint_sent(
            uid,
            placing.power_w,
            placing.begins_s(now_s),
            placing.discharge_until_s,
            placing.hold_until_s,
            placing.curves is not None,
            reduces,
            placing.later,
        )
        if reduces:
            self._keep_pause(uid)
        if self._fallbacks.stands_beneath(placing):
            self._sending.discharge(placing, now_s)
        elif self._fallbacks.wait(placing):
            self._sending.fallback(placing, now_s)

    def _keep_pause(self, uid: SessionUid) -> None:
        """How long a car has been paused, the order that leaves now counted to its end, and what it drew, are known again after a crash."""
        if self._fleet.row_of(uid) is not None:
            self._journal.put(DocumentKind.SESSION, str(uid), self._fleet.record_of(uid))

    def moves(self, instruction: DispatchInstruction, now_s: float) -> bool:
        """Whether setpoints of this dispatch go out as Dynamic profiles, where stations have them."""
        return dynamic_wanted(self._settings, instruction, now_s)

    def refresh(self, now_s: float, most: int) -> None:
        """Restart up to `most` watchdogs that are due. The caller vouches that control is alive; the ends stay those of the order."""
        for uid in self._dynamic.due(now_s, most):
            latest = self._latest.get(uid)
            profile_id = self.ledger.profile_id(uid, ProfileKind.DISCHARGE)
            if latest is None or self._gate.is_under_way(latest.station_id, profile_id):
                continue  # what is under way does it
            shaped = self._kinds.shaped(latest, now_s)
            if self._dynamic.can_move(shaped):
                self._gate.send(move_setpoint(shaped, profile_id, is_refresh=True), latest.dispatch_id, now_s)
            elif latest.hold_until_s > now_s:
                self.place(latest, now_s)

    def next_refresh_s(self) -> float:
        """When `refresh` wants to be called next; inf = never."""
        return self._dynamic.next_due_s()

    def forget_order(self, uid: SessionUid) -> None:
        """The newest order of a session is not sent, repeated or renewed any more. What stands at its station is for `release` to take."""
        self._fallbacks.forget(uid)
        self._latest.pop(uid, None)
        self._dynamic.lost(uid)

    def release(self, uid: SessionUid, now_s: float, *, urgent: bool = False) -> int:
        """Take our profiles off a session, the discharge first. Returns how many clears were sent."""
        self.forget_order(uid)
        of_session = self.ledger.of_session(uid)
        if not any(record.kind is ProfileKind.DISCHARGE for record in of_session):
            self._fleet.setpoint_gone(uid)
        records = [record for record in of_session if record.state is not ProfileState.CLEARING]
        for record in records:
            self._clearing.send(record, now_s, urgent=urgent)
        return len(records)

    def clear_everything(self, keep: Container[SessionUid], *, urgent: bool = False) -> int:
        """Clear every profile of ours, tombstones once more among them, but those of the sessions in `keep`: nothing of theirs is repeated
        from now on, and `sweep` sends the clears. Returns how many they are."""
        records = [record for record in self.ledger if record.session_uid not in keep]
        for record in records:
            self.forget_order(record.session_uid)
        self.sweep.add(records, urgent=urgent)
        return len(records)

    def clear_station(self, station_id: StationId, now_s: float) -> int:
        """Clear every profile of ours at one station, urgently, tombstones once more among them."""
        records = self.ledger.of_station(station_id)
        for record in records:
            self.forget_order(record.session_uid)
            self._clearing.send(record, now_s, urgent=True)
        return len(records)

    def session_ended(self, uid: SessionUid) -> None:
        """TxProfiles die with their transaction: nothing of ours is left there."""
        self.forget_order(uid)
        self._failures.forget(uid)
        for record in self.ledger.of_session(uid):
            self._clearing.gone(record.station_id, record.profile_id)

    def station_back(self, station_id: StationId, now_s: float) -> None:
        """After a reconnect or a boot: finish the tombstones, and say again what is in force (an idempotent replace, K01.FR.05).

        A station that was away may have rebooted and lost its transaction profiles, and its BootNotification comes after its line,
        so the fallback always goes first again.
        """
        self.signals.forget(station_id)
        here = self.ledger.of_station(station_id)
        if not here:
            return
        for record in here:
            if record.state is not ProfileState.CLEARING:
                self.ledger.happened(station_id, record.profile_id, Happening.UNSURE)
        for record in self.ledger.of_station(station_id):
            # Time away may have made it invalid for good (invalidAfterOfflineDuration): it is placed, not moved.
            self._dynamic.lost(record.session_uid)
        for record in self.ledger.of_station(station_id):
            latest = self._latest.get(record.session_uid)
            if record.state is ProfileState.CLEARING:
                self._clearing.send(record, now_s, urgent=True)
            elif record.kind is ProfileKind.DISCHARGE:
                if latest is not None and now_s < latest.hold_until_s:
                    self._fallbacks.drop(latest.uid, now_s)
                    self.place(latest, now_s)
                elif latest is not None or now_s >= record.hold_until_s:
                    self._clearing.send(record, now_s, urgent=True)

    def retry_clears(self, now_s: float) -> None:
        """Send again the clears that were not confirmed, each no more often than the setting says, ever more rarely."""
        self._clearing.retry(now_s)

    def sent(self, command: Command) -> None:
        """A command has left for its station."""
        self.messages_sent += isinstance(command, _OF_PROFILES)

    def completed(self, event: CommandCompleted, now_s: float) -> Refused | None:
        """Take in the outcome of a command. Returns what was refused, if the session cannot go on."""
        command = event.command
        if isinstance(command, _PLACED):
            self._gate.arrived(command, event.result)
            if type(event.result) is Accepted and self.ledger.get(command.station_id, command.profile_id) is None:
                # Its session is over for us, and yet the station took it: nothing of ours may stay unaccounted.
                self._clearing.send(self.ledger.sent(command, now_s, ""), now_s, urgent=True)
                return None
        if isinstance(command, PlaceDischarge):
            return self._discharge_completed(command, event, now_s)
        if isinstance(command, PlaceFallback):
            return self._fallback_completed(command, event, now_s)
        if isinstance(command, MoveSetpoint):
            return self._moved(command, event, now_s)
        if isinstance(command, SendSignal):
            self.signals.completed(command, event.result, now_s)
        if isinstance(command, ClearProfile) and not self._gate.is_under_way(command.station_id, command.profile_id):
            # While a placing is on its way it is not gone: that one left after this clear, and has a clear of its own behind it.
            self._clearing.completed(command, event.result, now_s)
        return None

    def forget_dispatch(self, dispatch_id: str) -> None:
        """A dispatch is not kept any longer, nor is the count of its messages; `messages_sent` has them for good."""
        self.messages_by_dispatch.pop(dispatch_id, None)

    def restore(self, record: ProfileRecord) -> None:
        """An entry from the journal. Tombstones wait for their station."""
        self.ledger.restore(record)

    def unwanted(self, keep: Container[SessionUid], now_s: float) -> None:
        """After a start: whatever may be at a station and belongs to none of the sessions in `keep` is to be cleared on its return."""
        for record in tuple(self.ledger):
            if record.session_uid not in keep and record.state is not ProfileState.CLEARING:
                self._clearing.send(record, now_s, urgent=False)

    # --- outcomes ------------------------------------------------------------------------------------------------------------

    def _discharge_completed(self, command: PlaceDischarge, event: CommandCompleted, now_s: float) -> Refused | None:
        result, uid = event.result, command.session_uid
        match result:
            case Superseded():
                self._fleet.setpoint_done(uid, result, now_s, command)
                return None
            case Accepted():
                self._gate.note(command, Happening.ACCEPTED)
                self._failures.worked(uid)
                self._fleet.setpoint_done(uid, result, now_s, command)
                if not self._gate.is_under_way(command.station_id, command.profile_id):
                    self._dynamic.accepted(command, now_s)
                return None
            case Rejected() | NotSupported():
                self._gate.note(command, Happening.REFUSED)
                self._fleet.setpoint_done(uid, result, now_s, command)
                return self._refused(command, result, now_s)
            case TimedOut():
                self._gate.note(command, Happening.UNSURE)
                self._fleet.setpoint_done(uid, result, now_s, command)
                return self._unsure(command, now_s)
            case Offline():
                self._gate.note(command, Happening.REFUSED)
                self._fleet.setpoint_done(uid, result, now_s, command)
                return None
            case NothingThere() | RawAnswer():
                raise AssertionError(f"{result} is no answer to a SetChargingProfile")
            case _:
                assert_never(result)

    def _moved(self, command: MoveSetpoint, event: CommandCompleted, now_s: float) -> Refused | None:
        """The outcome of an update. One that is refused, or unknown, leads to a whole profile again."""
        result, uid = event.result, command.session_uid
        if not command.is_refresh:
            self._fleet.setpoint_done(uid, result, now_s, command)
        match result:
            case Superseded():
                return None
            case Accepted():
                self._gate.note(command, Happening.ACCEPTED)
                self._failures.answered(uid)
                self.paths.worked(command.station_id, command.evse_id, DYNAMIC)
                self._dynamic.accepted(command, now_s)
                return None
            case Offline():
                self._dynamic.lost(uid)
                return None
            case TimedOut():
                self._gate.note(command, Happening.UNSURE)
                self._dynamic.lost(uid)
                return self._unsure(command, now_s)
            case Rejected() | NotSupported():
                self._gate.note(command, Happening.UNSURE)
                self._dynamic.lost(uid)
                self._update_refused(command, result, now_s)
                return None
            case NothingThere() | RawAnswer():
                raise AssertionError(f"{result} is no answer to an UpdateDynamicSchedule")
            case _:
                assert_never(result)

    def _update_refused(self, command: MoveSetpoint, result: Rejected | NotSupported, now_s: float) -> None:
        """The profile is not there, or not as we believed (K28): it is placed anew; too often, and the EVSE gets Absolute ones."""
        place = command.station_id, command.evse_id
        reason = f"UpdateDynamicSchedule was refused: {words_of(result)}"
        if isinstance(result, NotSupported):
            self.paths.close(*place, DYNAMIC, reason, now_s)
        else:
            self.paths.refused(*place, DYNAMIC, reason, now_s)
        latest = self._latest.get(command.session_uid)
        if latest is not None:
            self.place(latest, now_s)

    def _fallback_completed(self, command: PlaceFallback, event: CommandCompleted, now_s: float) -> Refused | None:
        result, uid = event.result, command.session_uid
        match result:
            case Accepted():
                self._gate.note(command, Happening.ACCEPTED)
                self._fleet.fallback_done(uid, result, now_s)
                waiting = self._fallbacks.waiting(uid)
                if waiting is not None and self._fallbacks.stands_beneath(waiting):
                    self._fallbacks.forget(uid)
                    self._sending.discharge(waiting, now_s)
                elif waiting is not None and not self._fallbacks.is_under_way(waiting):
                    self._sending.fallback(waiting, now_s)
                return None
            case Rejected() | NotSupported():
                self._gate.note(command, Happening.REFUSED)
                self._fleet.fallback_done(uid, result, now_s)
                return self._refused(command, result, now_s)
            case TimedOut():
                self._gate.note(command, Happening.UNSURE)
                self._fleet.fallback_done(uid, result, now_s)
                return self._unsure(command, now_s)
            case Offline():
                self._gate.note(command, Happening.REFUSED)
                self._fleet.fallback_done(uid, result, now_s)
                self._fallbacks.drop(uid, now_s)
                return None
            case Superseded() | NothingThere() | RawAnswer():
                raise AssertionError(f"{result} is no answer to a fallback profile")
            case _:
                assert_never(result)

    def _refused(self, command: PlaceDischarge | PlaceFallback, result: Rejected | NotSupported, now_s: float) -> Refused | None:
        uid = command.session_uid
        response = react(result, retried=self._failures.is_level_refused(uid), settings=self._refusals)
        latest = self._latest.get(uid)
        if isinstance(command, PlaceDischarge) and latest is not None and self._kinds.refused(command, response.reaction, result, now_s):
            # Of a car on a curve the next tick gives its part of the band to another, or gives it setpoints.
            if command.curves is None:
                self.place(latest, now_s)
            return None
        if response.retry_level:
            self._failures.refuse_level(uid)
        if response.reaction is Reaction.NO_PHASES:
            self._fleet.phases_refused(uid)
        return self._give_up(uid, response, words_of(result), now_s)

    def _unsure(self, command: PlaceDischarge | MoveSetpoint | PlaceFallback, now_s: float) -> Refused | None:
        """A time-out: the same id again is harmless whatever became of the first (4.4)."""
        uid = command.session_uid
        latest = self._latest.get(uid)
        if self._failures.may_retry(uid) and latest is not None:
            self._again(command, latest, now_s)
            return None
        response = react(Rejected(reason_code=""), retried=True, settings=self._refusals)
        return self._give_up(uid, response, "no answer in time", now_s)

    def _again(self, command: PlaceDischarge | MoveSetpoint | PlaceFallback, latest: Placing, now_s: float) -> None:
        """Once more: the fallback for the discharge that waits for it, or the newest discharge."""
        if isinstance(command, PlaceDischarge | MoveSetpoint):
            self.place(latest, now_s)
        elif self._fallbacks.is_waiting(latest.uid) and not self._fallbacks.is_under_way(latest):
            self._sending.fallback(latest, now_s)

    def _give_up(self, uid: SessionUid, response: Response, text: str, now_s: float) -> Refused:
        latest = self._latest.get(uid)
        self._fallbacks.drop(uid, now_s)
        # Each refusal in a row doubles the rest: a station that never takes a profile is not asked for ever.
        self._fleet.exclude(uid, now_s + self._failures.rest_s(uid, response))
        self.release(uid, now_s, urgent=True)
        return Refused(uid=uid, dispatch_id=latest.dispatch_id if latest else "", response=response, text=text)
