"""A simulated OCPP 2.1 station, sans-I/O: text and time in, text out. It reads no clock and opens no socket.

The owner calls `connect` when the line is up, passes every text to `receive`, calls `step` when `next_due_s` has come, and sends
what `take_outbox` returns.
"""

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Final

from msgspec import UnsetType

from counterflow.adapters.ocpp import messages as m
from counterflow.adapters.ocpp.events import Answered, CallDone, IncomingCall, RpcEvent
from counterflow.sim.answers import ANSWERS, boot_notification
from counterflow.sim.draws import Draws
from counterflow.sim.evse import SimEvse
from counterflow.sim.operation import Operation
from counterflow.sim.profiles import Installed
from counterflow.sim.settings import StationSettings
from counterflow.sim.state import StationState
from counterflow.sim.uplink import QueuedEvent, Timers, Uplink
from counterflow.sim.variables import rebooted, too_much

BOOT_RETRY_S: Final = 30.0
LOST_NOW_AND_THEN: Final = frozenset({"SetChargingProfile", "ClearChargingProfile", "UpdateDynamicSchedule"})
"""Calls that a station with losses may not read, or not answer."""


class SimStation:
    """One station. `violations` is what its CSMS did against the rules; `wants_line` is False while it reboots."""

    def __init__(self, station_id: str, evses: Sequence[SimEvse], draws: Draws, settings: StationSettings) -> None:
        self.station_id = station_id
        self.state = StationState(station_id, evses, settings)
        self._timers = Timers()
        self.uplink = Uplink(settings, self._timers)
        self.operation = Operation(self.state, self.uplink, self._timers, draws)
        self.booted = False
        self._boot_reason: m.BootReasonEnumType = "PowerUp"
        self._reset_pending = False
        self._beating = False
        self.drop_line = False
        """The station wants its connection closed (a reset); the owner closes it and connects again."""

    # ---- the line

    def connect(self, now_s: float) -> None:
        """The line is up. After a reboot it starts with BootNotification, else it goes on where it was (part 4, 5.4)."""
        self.drop_line = False
        self.uplink.open(now_s)
        if self.booted:
            self._go_online(now_s)
        else:
            self.uplink.call("BootNotification", boot_notification(self.operation, self._boot_reason), now_s)

    def disconnect(self, now_s: float) -> None:
        """The line is gone. Profiles go on; maxOfflineDuration starts to count."""
        if self.uplink.session is None:
            return
        self.uplink.close(now_s)
        self.state.profiles.went_offline(now_s)
        self.operation.reassess_all(now_s)

    def receive(self, text: bytes | str, now_s: float) -> None:
        """One WebSocket text message from the CSMS."""
        session = self.uplink.session
        if session is not None:
            for event in session.receive(text, now_s):
                self._handle(event, now_s)

    def step(self, now_s: float) -> None:
        """Do what is due."""
        self._timers.run(now_s)
        session = self.uplink.session
        if session is not None:
            deadline_s = session.next_deadline_s()
            if deadline_s is not None and deadline_s <= now_s:
                for event in session.on_deadline(now_s):
                    self._handle(event, now_s)

    def next_due_s(self) -> float | None:
        """When `step` wants to be called next."""
        session, due_s = self.uplink.session, self._timers.next_s
        if session is not None:
            deadline_s = session.next_deadline_s()
            if deadline_s is not None and deadline_s < due_s:
                return deadline_s
        return None if due_s == inf else due_s

    def take_outbox(self) -> list[bytes]:
        """Frames to send now."""
        session = self.uplink.session
        return [] if session is None else session.take_outbox()

    # ---- cars

    def _evse(self, evse_id: int | None) -> SimEvse:
        return self.state.first_evse if evse_id is None else self.state.evses[evse_id]

    def plug_in(self, now_s: float, evse_id: int | None = None) -> None:
        """A car arrives (first EVSE if none is named)."""
        self.operation.plug_in(self._evse(evse_id), now_s)

    def unplug(self, now_s: float, evse_id: int | None = None) -> None:
        """The car leaves."""
        self.operation.unplug(self._evse(evse_id), now_s)

    def go_silent(self, now_s: float, evse_id: int | None = None) -> None:
        """The car is gone and nothing is said about it."""
        self.operation.go_silent(self._evse(evse_id), now_s)

    def fault(self, now_s: float, evse_id: int | None = None) -> None:
        """The EVSE fails."""
        self.operation.fault(self._evse(evse_id), now_s)

    @property
    def violations(self) -> list[str]:
        """What the CSMS did against the rules."""
        return self.state.violations

    @property
    def installed_profiles(self) -> list[Installed]:
        """Every profile that is stored here."""
        return list(self.state.profiles)

    @property
    def sessions(self) -> int:
        """Transactions that are alive (a silent one is not)."""
        return sum(evse.transaction_id is not None and not evse.silent for evse in self.state.evses.values())

    @property
    def settled(self) -> bool:
        """No car here waits for its session to begin."""
        return not any(evse.waiting or (evse.transaction_id is not None and not evse.charging) for evse in self.state.evses.values())

    # ---- what comes in

    def _handle(self, event: RpcEvent, now_s: float) -> None:
        if isinstance(event, IncomingCall):
            self._answer(event, now_s)
        elif isinstance(event, CallDone):
            if isinstance(event.context, QueuedEvent):
                self._event_done(event, now_s)
            elif isinstance(event.outcome, Answered):
                on_answer = _ON_ANSWER.get(event.action)
                if on_answer is not None:
                    on_answer(self, event.outcome.response, event.context, now_s)
            elif event.action == "BootNotification":
                self._timers.at(now_s + BOOT_RETRY_S, self._boot_again)

    def _answer(self, call: IncomingCall, now_s: float) -> None:
        session = self.uplink.session
        if session is None:
            return
        if call.action == "Reset":
            session.respond(call, self._reset(call.request, now_s))
            return
        if call.action in self.state.settings.unknown_actions:
            session.respond_error(call, "NotSupported", f"{call.action} is not supported.")
            return
        if too_much(self.state.settings, call.request):
            session.respond_error(call, "OccurrenceConstraintViolation", "More than ItemsPerMessage or BytesPerMessage admits.")
            return
        loses = call.action in LOST_NOW_AND_THEN
        if loses and self._happens(self.state.settings.unread_share):
            return
        handler = ANSWERS[call.action]
        response, after = handler(self.operation, call.request, now_s)
        if not (loses and self._happens(self.state.settings.unanswered_share)):
            session.respond(call, response)
        if after is not None:
            after(now_s)

    def _happens(self, share: float) -> bool:
        return share > 0.0 and self.operation.draws.uniform() < share

    def _event_done(self, event: CallDone, now_s: float) -> None:
        self.uplink.event_done(event.context, event.outcome, now_s)
        if isinstance(event.outcome, Answered):
            info = event.outcome.response.id_token_info
            if not isinstance(info, UnsetType) and info.status != "Accepted":
                evse = self.state.evse_of(event.context.request.transaction_info.transaction_id)
                if evse is not None:
                    self.operation.finish(evse, now_s, "Deauthorized", "DeAuthorized")
        if self._reset_pending and all(evse.transaction_id is None for evse in self.state.evses.values()):
            self._reboot(now_s)

    # ---- boot and reset

    def _boot_answered(self, response: m.BootNotificationResponse, context: object, now_s: float) -> None:
        del context
        if response.status != "Accepted":
            wait_s = response.interval if response.interval > 0 else BOOT_RETRY_S
            self._timers.at(now_s + wait_s, self._boot_again)
            return
        if response.interval > 0 and self.state.heartbeat_interval_s != response.interval:
            self.state.heartbeat_interval_s = response.interval
        if not self.uplink.online:
            self.booted = True
            if not self._beating:
                self._beating = True
                self._timers.at(now_s + self.state.heartbeat_interval_s, self._heartbeat)
            self._go_online(now_s)

    def _boot_again(self, now_s: float) -> None:
        if self.uplink.session is not None and not self.uplink.online:
            self.uplink.call("BootNotification", boot_notification(self.operation, self._boot_reason), now_s)

    def _heartbeat(self, now_s: float) -> None:
        self._timers.at(now_s + self.state.heartbeat_interval_s, self._heartbeat)
        self.uplink.call("Heartbeat", m.HeartbeatRequest(), now_s)

    def _go_online(self, now_s: float) -> None:
        self.uplink.accepted()
        self.state.profiles.came_online(now_s)
        self.operation.reassess_all(now_s)
        for evse in self.state.evses.values():
            self.operation.tell_status(evse, now_s)
        self.uplink.pump(now_s)
        for evse in self.state.evses.values():
            if evse.transaction_id is not None and not evse.needs_sent:
                self.operation.send_needs(evse, now_s)
            elif evse.waiting:
                self.operation.authorize(evse, now_s)

    def _reset(self, request: m.ResetRequest, now_s: float) -> m.ResetResponse:
        """Immediate ends transactions and reboots; OnIdle waits for them (B11, B12)."""
        if not isinstance(request.evse_id, UnsetType):
            return m.ResetResponse(status="Rejected")
        busy = any(evse.transaction_id is not None for evse in self.state.evses.values())
        if request.type == "OnIdle" and busy:
            self._reset_pending = True
            return m.ResetResponse(status="Scheduled")
        for evse in self.state.evses.values():
            self.operation.finish(evse, now_s, "ResetCommand", "ImmediateReset")
        self._timers.at(now_s + 1.0, self._reboot)
        return m.ResetResponse(status="Accepted")

    def power_cycle(self, now_s: float, *, keeps_profiles: bool, keeps_transaction: bool, keeps_queue: bool) -> None:
        """The station loses power and comes back: what it wrote down before is still there, the rest is lost."""
        self.disconnect(now_s)
        self.booted, self._boot_reason = False, "PowerUp"
        if not keeps_queue:
            self.uplink.events.clear()
        if not keeps_profiles:
            self.state.profiles.forget_tx_profiles()
        for evse in self.state.evses.values():
            evse.told_status = None
            if evse.transaction_id is None:
                continue
            if keeps_transaction:
                self.operation.tell(evse, "Updated", "TxResumed", now_s, context=None)
            elif keeps_queue:
                self.operation.finish(evse, now_s, "AbnormalCondition", "PowerLoss")
            else:
                self.state.profiles.forget_transaction(evse.transaction_id)
                evse.plant.release(evse.row)
                evse.plant.plug(evse.row)
                evse.end()
            if not keeps_transaction:  # a car that is still plugged in is authorized anew once the station is back
                evse.waiting = evse.occupied and not evse.silent
        self.operation.reassess_all(now_s)

    def _reboot(self, now_s: float) -> None:
        del now_s
        self._reset_pending = False
        self.booted, self._boot_reason, self.drop_line = False, "RemoteReset", True
        self.state.profiles.forget_tx_profiles()
        rebooted(self.state)
        for evse in self.state.evses.values():
            evse.told_status = None

    # ---- answers to our own calls

    def _authorized(self, response: m.AuthorizeResponse, evse: SimEvse, now_s: float) -> None:
        self.operation.authorized(evse, response, now_s)

    def _needs_answered(self, response: m.NotifyEVChargingNeedsResponse, context: tuple[SimEvse, str], now_s: float) -> None:
        evse, transaction_id = context
        if evse.transaction_id == transaction_id:
            self.operation.needs_answered(evse, response.status, now_s)

    def _pulled(self, response: m.PullDynamicScheduleUpdateResponse, profile_id: int, now_s: float) -> None:
        if response.status == "Accepted" and not isinstance(response.schedule_update, UnsetType):
            self.operation.update_dynamic(profile_id, response.schedule_update, now_s)


_ON_ANSWER: Final[dict[str, Callable[[SimStation, Any, Any, float], None]]] = {
    "BootNotification": SimStation._boot_answered,
    "Authorize": SimStation._authorized,
    "NotifyEVChargingNeeds": SimStation._needs_answered,
    "PullDynamicScheduleUpdate": SimStation._pulled,
}
