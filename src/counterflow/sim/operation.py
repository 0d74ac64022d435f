"""What happens at the EVSEs: cars come and go, profiles take hold, meters are read. Everything is told through the uplink."""

from math import ceil, inf
from typing import Final

from msgspec import UNSET, UnsetType

from counterflow.adapters.ocpp import rpc
from counterflow.adapters.ocpp.messages import (
    AuthorizeRequest,
    AuthorizeResponse,
    ChargingScheduleUpdateType,
    ChargingStateEnumType,
    ComponentType,
    ConnectorStatusEnumType,
    EventDataType,
    EVSEType,
    MeterValueType,
    NotifyEventRequest,
    PullDynamicScheduleUpdateRequest,
    ReadingContextEnumType,
    ReasonEnumType,
    StatusNotificationRequest,
    TransactionEventEnumType,
    TransactionEventRequest,
    TransactionType,
    TriggerReasonEnumType,
    VariableType,
)
from counterflow.sim import rules
from counterflow.sim.draws import Draws
from counterflow.sim.evse import NOTHING_APPLIES, SimEvse
from counterflow.sim.meter import meter_value
from counterflow.sim.profile_rules import Refusal
from counterflow.sim.state import StationState
from counterflow.sim.uplink import Timers, Uplink

RENEGOTIATION_S: Final = 2.0
"""How long an ISO 15118-20 service renegotiation takes."""


class Operation:
    """The EVSEs of one station at work."""

    def __init__(self, state: StationState, uplink: Uplink, timers: Timers, draws: Draws) -> None:
        self.state = state
        self.uplink = uplink
        self.timers = timers
        self.draws = draws
        self._transactions = 0
        self._events = 0
        self._pulls: dict[int, int] = {}

    # ---- connectors

    def set_status(self, evse: SimEvse, status: ConnectorStatusEnumType, now_s: float) -> None:
        """The connector changes; told at once when online, else on the return."""
        evse.status = status
        self.tell_status(evse, now_s)

    def tell_status(self, evse: SimEvse, now_s: float, *, always: bool = False) -> None:
        """StatusNotification, or NotifyEvent where the station is of the newer kind (G01)."""
        if evse.silent or not self.uplink.online or (evse.told_status == evse.status and not always):
            return
        evse.told_status = evse.status
        if not self.state.settings.event_status:
            status = StatusNotificationRequest(
                timestamp=rpc.instant(now_s), connector_status=evse.status, evse_id=evse.evse_id, connector_id=1
            )
            self.uplink.call("StatusNotification", status, now_s)
            return
        self._events += 1
        event = EventDataType(
            event_id=self._events,
            timestamp=rpc.instant(now_s),
            trigger="Delta",
            actual_value=evse.status,
            component=ComponentType(name="Connector", evse=EVSEType(id=evse.evse_id, connector_id=1)),
            event_notification_type="HardWiredNotification",
            variable=VariableType(name="AvailabilityState"),
        )
        self.uplink.call("NotifyEvent", NotifyEventRequest(generated_at=rpc.instant(now_s), seq_no=0, event_data=[event]), now_s)

    # ---- a transaction's life

    def plug_in(self, evse: SimEvse, now_s: float) -> None:
        """A car arrives. Online it is authorized first; offline it starts as charging only (Q01)."""
        if evse.occupied or not evse.operative or evse.status == "Faulted":
            return
        evse.plant.plug(evse.row)
        evse.silent, evse.waiting = False, True
        evse.departure_s = now_s + evse.stay_s
        self.set_status(evse, "Occupied", now_s)
        self.authorize(evse, now_s)

    def authorize(self, evse: SimEvse, now_s: float) -> None:
        """Ask whether this car may charge, and whether it may discharge (the EVCCID goes along); before the first boot it waits."""
        if self.uplink.online:
            self.uplink.call("Authorize", AuthorizeRequest(id_token=evse.token), now_s, context=evse)
        elif self.uplink.ever_online:
            self.start(evse, now_s, "Authorized")

    def authorized(self, evse: SimEvse, answer: AuthorizeResponse, now_s: float) -> None:
        """The answer: without allowedEnergyTransfer the session is for charging only."""
        if not evse.occupied or evse.transaction_id is not None or answer.id_token_info.status != "Accepted":
            return
        allowed = answer.allowed_energy_transfer
        evse.allowed = () if isinstance(allowed, UnsetType) else tuple(allowed)
        self.start(evse, now_s, "Authorized")

    def start(self, evse: SimEvse, now_s: float, trigger: TriggerReasonEnumType, remote_start_id: int | None = None) -> str:
        """A transaction begins: Started, then the car's needs."""
        if evse.transaction_id is not None:  # a car that left without a word: its transaction is over, and its profiles with it
            self.state.profiles.forget_transaction(evse.transaction_id)
        self._transactions += 1
        transaction_id = f"{round(now_s):x}-{evse.evse_id}-{self._transactions}"
        evse.waiting = False
        evse.begin(transaction_id)
        self.tell(evse, "Started", trigger, now_s, context="Transaction.Begin", remote_start_id=remote_start_id)
        self.send_needs(evse, now_s)
        return transaction_id

    def send_needs(self, evse: SimEvse, now_s: float) -> None:
        """NotifyEVChargingNeeds; offline it waits for the return. A CHAdeMO car has no such words, its EVSE drives it (R01)."""
        if self.state.settings.chademo:
            evse.needs_sent = evse.bidirectional = True
        if self.uplink.online and not self.state.settings.chademo and evse.transaction_id is not None:
            self.uplink.call("NotifyEVChargingNeeds", evse.needs(now_s), now_s, context=(evse, evse.transaction_id))
        elif evse.transaction_id is not None and not evse.charging:
            self.close_power_path(evse, now_s)

    def needs_answered(self, evse: SimEvse, status: str, now_s: float) -> None:
        """Rejected refuses the energy transfer, which ends an ISO 15118-20 session; all else lets it go on (K18, Q01)."""
        if status == "Rejected":
            self.finish(evse, now_s, "AbnormalCondition", "ReqEnergyTransferRejected")
            return
        evse.needs_sent = True
        evse.bidirectional = evse.agree_transfer() == evse.transfers[1]
        if not evse.charging:
            self.close_power_path(evse, now_s)

    def close_power_path(self, evse: SimEvse, now_s: float) -> None:
        """Power may flow: the car starts, metering starts."""
        evse.charging = True
        evse.started_charging_s = now_s
        evse.plant.energise(evse.row)
        evse.effective, evse.delivered = NOTHING_APPLIES, NOTHING_APPLIES.order
        self.tell(evse, "Updated", "ChargingStateChanged", now_s, context=None)
        self.reassess(evse, now_s, by_profile=None)
        self.start_sampling(evse, now_s)

    def renegotiate(self, evse: SimEvse, allowed: tuple[str, ...], now_s: float) -> None:
        """NotifyAllowedEnergyTransfer was accepted: the car is asked again, its needs follow (Q01.FR.06)."""
        evse.allowed = allowed
        self.timers.at(now_s + RENEGOTIATION_S, self._renegotiated, evse, evse.transaction_id)

    def _renegotiated(self, now_s: float, evse: SimEvse, transaction_id: str) -> None:
        if evse.transaction_id == transaction_id and not evse.silent:
            self.send_needs(evse, now_s)

    def finish(self, evse: SimEvse, now_s: float, trigger: TriggerReasonEnumType, reason: ReasonEnumType) -> None:
        """The transaction ends; its profiles die with it; the car stays plugged in."""
        transaction_id = evse.transaction_id
        if transaction_id is None:
            return
        evse.charging = False
        self.tell(evse, "Ended", trigger, now_s, context="Transaction.End", stopped_reason=reason)
        self.state.profiles.forget_transaction(transaction_id)
        evse.plant.release(evse.row)
        evse.plant.plug(evse.row)
        evse.end()

    def unplug(self, evse: SimEvse, now_s: float) -> None:
        """The car leaves, and says so."""
        if not evse.occupied:
            return
        self.finish(evse, now_s, "EVDeparted", "EVDisconnected")
        evse.plant.release(evse.row)
        if evse.status == "Occupied":
            self.set_status(evse, "Available", now_s)

    def go_silent(self, evse: SimEvse, now_s: float) -> None:
        """The car is gone and the EVSE says nothing any more; the station itself still answers."""
        del now_s
        evse.silent = True
        evse.sampling += 1
        evse.plant.release(evse.row)

    def fault(self, evse: SimEvse, now_s: float) -> None:
        """The EVSE fails: power is gone, the transaction ends."""
        self.finish(evse, now_s, "AbnormalCondition", "Other")
        evse.plant.release(evse.row)
        self.set_status(evse, "Faulted", now_s)

    # ---- what is told

    def tell(
        self,
        evse: SimEvse,
        kind: TransactionEventEnumType,
        trigger: TriggerReasonEnumType,
        now_s: float,
        *,
        context: ReadingContextEnumType | None,
        stopped_reason: ReasonEnumType | None = None,
        remote_start_id: int | None = None,
    ) -> None:
        """Queue a TransactionEvent, with a fresh reading if `context` names one."""
        values: list[MeterValueType] | None = None
        if context is not None:
            state = self.state
            values = [meter_value(evse.reading(now_s), state.measurands[kind], signed=state.settings.signed_import, context=context)]
            if kind == "Ended":
                values = [*evse.aligned, *values]
        self._queue(evse, kind, trigger, values, now_s, now_s, stopped_reason, remote_start_id)

    def _queue(
        self,
        evse: SimEvse,
        kind: TransactionEventEnumType,
        trigger: TriggerReasonEnumType,
        values: list[MeterValueType] | None,
        at_s: float,
        now_s: float,
        stopped_reason: ReasonEnumType | None = None,
        remote_start_id: int | None = None,
    ) -> None:
        if evse.transaction_id is None or evse.silent:
            return
        # evse and idToken are told once, with the first event (E01.FR.16).
        first = not evse.evse_told
        evse.evse_told = True
        charging_state: ChargingStateEnumType = "Charging" if evse.charging else "EVConnected"
        request = TransactionEventRequest(
            event_type=kind,
            timestamp=rpc.instant(at_s),
            trigger_reason=trigger,
            seq_no=evse.next_seq_no(),
            transaction_info=TransactionType(
                transaction_id=evse.transaction_id,
                charging_state=charging_state,
                operation_mode=evse.effective.operation_mode if evse.charging else UNSET,  # type: ignore[arg-type]  # came from the enum
                stopped_reason=UNSET if stopped_reason is None else stopped_reason,
                remote_start_id=UNSET if remote_start_id is None else remote_start_id,
            ),
            meter_value=UNSET if values is None else values,
            evse=EVSEType(id=evse.evse_id, connector_id=1) if first else UNSET,
            id_token=evse.token if first else UNSET,
        )
        self.uplink.event(request, now_s)

    # ---- metering

    def start_sampling(self, evse: SimEvse, now_s: float) -> None:
        """Start an EVSE's sampling, or start it anew at another interval, with a phase of its own, on whole seconds as meters do."""
        evse.sampling += 1
        interval_s = self.state.sampling_interval_s(evse)
        if interval_s > 0 and evse.charging and not evse.silent:
            self.timers.at(ceil(now_s + self.draws.uniform() * interval_s), self._sample, evse, evse.sampling)

    def _sample(self, now_s: float, evse: SimEvse, sampling: int) -> None:
        if evse.sampling != sampling or not evse.charging:
            return
        interval_s = self.state.sampling_interval_s(evse)
        if interval_s > 0:
            self.timers.at(now_s + interval_s, self._sample, evse, sampling)
        if evse.effective.order.discharges and float(evse.plant.power_w[evse.row]) < 0.0:
            self.state.complain(evse, rules.judge_now(evse, now_s), now_s)
        draws, plant, state = self.draws, evse.plant.settings, self.state
        if draws.uniform() < plant.meter_loss:
            return
        value = meter_value(evse.reading(now_s), state.sampled(evse), signed=state.settings.signed_import)
        latency_s = plant.meter_latency_s + plant.meter_latency_mean_s * draws.exponential()
        self.timers.at(now_s + latency_s, self._send_sample, evse, evse.transaction_id, now_s, value)

    def _send_sample(self, now_s: float, evse: SimEvse, transaction_id: str, at_s: float, value: MeterValueType) -> None:
        if evse.transaction_id == transaction_id:
            self._queue(evse, "Updated", "MeterValuePeriodic", [value], at_s, now_s)

    # ---- profiles

    def reassess(self, evse: SimEvse, now_s: float, *, by_profile: int | None) -> None:
        """Look what applies now and pass it on. `by_profile` = the profile that the CSMS has just sent: it may get lost on its way."""
        if evse.transaction_id is None or not evse.charging:
            return
        profiles = self.state.profiles
        before, interval_s = evse.effective, self.state.sampling_interval_s(evse)
        effective = profiles.effective(evse.evse_id, evse.transaction_id, now_s, tx_started_s=evse.started_charging_s)
        evse.effective = effective
        resent = by_profile is not None and effective.profile_id == by_profile
        wanted = resent or effective.order != evse.delivered
        if wanted and evse.plant.order(evse.row, effective.order, now_s, from_csms=resent):
            evse.delivered = effective.order
        if effective.operation_mode != before.operation_mode:
            self._queue(evse, "Updated", "OperationModeChanged", None, now_s, now_s)
        if self.state.sampling_interval_s(evse) != interval_s:
            self.start_sampling(evse, now_s)
        edge_s = profiles.next_change_s(evse.evse_id, now_s, tx_started_s=evse.started_charging_s)
        if edge_s != evse.edge_s and edge_s < inf:
            self.timers.at(edge_s, self._edge, evse, edge_s)
        evse.edge_s = edge_s

    def _edge(self, now_s: float, evse: SimEvse, edge_s: float) -> None:
        if evse.edge_s == edge_s:
            evse.edge_s = inf
            self.reassess(evse, now_s, by_profile=None)

    def pull_regularly(self, profile_id: int, every_s: int, now_s: float) -> None:
        """A Dynamic profile with dynUpdateInterval: ask for its values again and again, until it is replaced or gone (K28)."""
        self._pulls[profile_id] = self._pulls.get(profile_id, 0) + 1
        if every_s > 0:
            self.timers.at(now_s + every_s, self._pull, profile_id, every_s, self._pulls[profile_id])

    def _pull(self, now_s: float, profile_id: int, every_s: int, generation: int) -> None:
        if self._pulls.get(profile_id) == generation and self.state.profiles.holds(profile_id):
            self.timers.at(now_s + every_s, self._pull, profile_id, every_s, generation)
            self.uplink.call(
                "PullDynamicScheduleUpdate", PullDynamicScheduleUpdateRequest(charging_profile_id=profile_id), now_s, profile_id
            )

    def update_dynamic(self, profile_id: int, update: ChargingScheduleUpdateType, now_s: float) -> Refusal | None:
        """New values for a Dynamic profile, pushed or pulled; judged like a new profile."""
        state = self.state
        refusal = state.profiles.update_dynamic(profile_id, update, now_s)
        if refusal is not None:
            return refusal
        for installed in state.profiles:
            evse = state.evses.get(installed.evse_id)
            if installed.profile.id == profile_id and evse is not None and rules.discharges(installed.profile):
                state.complain(evse, rules.judge_profile(installed.profile, evse, state.profiles, now_s), now_s)
        for evse in state.evses.values():
            self.reassess(evse, now_s, by_profile=profile_id)
        return None

    def takes_signals(self, now_s: float) -> bool:
        """An aFRR signal would mean something at one of the EVSEs."""
        return any(
            self.state.profiles.takes_signals(evse.evse_id, evse.transaction_id, now_s, tx_started_s=evse.started_charging_s)
            for evse in self.state.evses.values()
            if evse.transaction_id is not None
        )

    def signal_from(self, signal: int, at_s: float, now_s: float) -> None:
        """An aFRR signal takes effect, now or when its time has come."""
        if at_s > now_s:
            self.timers.at(at_s, self._signal, signal)
        else:
            self._signal(now_s, signal)

    def _signal(self, now_s: float, signal: int) -> None:
        self.state.profiles.signal = signal
        self.reassess_all(now_s)

    def grid_at(self, frequency_hz: float, now_s: float) -> None:
        """The station measures another grid frequency."""
        self.state.profiles.frequency_hz = frequency_hz
        self.reassess_all(now_s)

    def reassess_all(self, now_s: float) -> None:
        """Every EVSE: after clearing, and when the line comes or goes."""
        for evse in self.state.evses.values():
            self.reassess(evse, now_s, by_profile=None)
