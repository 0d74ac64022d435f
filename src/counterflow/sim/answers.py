"""How a simulated station answers a CSMS: one table, every CSMS-to-station action of OCPP 2.1.

A handler returns the answer and what is to be done once the answer is on its way. Blocks that no V2G fleet needs (displays,
tariffs, firmware, certificates) are answered by the status that says so.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType

from counterflow.adapters.ocpp import messages, rpc
from counterflow.adapters.ocpp import messages as m
from counterflow.sim import aligned, rules, variables
from counterflow.sim.composite import composite_schedule
from counterflow.sim.evse import SimEvse
from counterflow.sim.meter import meter_value
from counterflow.sim.operation import Operation
from counterflow.sim.profile_rules import Refusal

After = Callable[[float], None]
Answer = tuple[Struct, After | None]
Handler = Callable[[Operation, Any, float], Answer]

REPORT_ITEMS_PER_MESSAGE: Final = 20


def _refused(refusal: Refusal) -> m.StatusInfoType:
    return m.StatusInfoType(reason_code=refusal.reason_code, additional_info=refusal.text)


# ---- charging profiles


def set_charging_profile(op: Operation, request: m.SetChargingProfileRequest, now_s: float) -> Answer:
    """Accepted means stored; a discharge without an agreed bidirectional transfer is refused (Q02.FR.01)."""
    state, profile, evse = op.state, request.charging_profile, op.state.evses.get(request.evse_id)
    wait_s = 0.0 if evse is None else evse.last_profile_s + state.settings.profile_rate_limit_s - now_s
    if wait_s > 0.0:
        return _no_profile(Refusal("RateLimitExceeded", f"{wait_s:.0f} seconds before retry"))
    unfit = (
        evse is not None and rules.discharges(profile) and evse.transaction_id is not None and evse.needs_sent and not evse.bidirectional
    )
    if unfit and evse is not None:
        state.complain(evse, ["no transfer: discharge without an agreed bidirectional transfer"], now_s)
        return _no_profile(Refusal("InvalidOperationMode", "No bidirectional energy transfer has been agreed (Q02.FR.01)."))
    refusal = state.profiles.install(profile, request.evse_id, state.evses, now_s)
    if refusal is not None:
        return _no_profile(refusal)
    touched = list(state.evses.values()) if evse is None else [evse]
    for one in touched:
        one.last_profile_s = now_s
    if evse is not None and rules.discharges(profile):
        state.complain(evse, rules.judge_profile(profile, evse, state.profiles, now_s), now_s)
    for one in touched:
        op.reassess(one, now_s, by_profile=profile.id)
    every_s = profile.dyn_update_interval
    op.pull_regularly(profile.id, 0 if isinstance(every_s, UnsetType) else every_s, now_s)
    return m.SetChargingProfileResponse(status="Accepted"), None


def _no_profile(refusal: Refusal) -> Answer:
    return m.SetChargingProfileResponse(status="Rejected", status_info=_refused(refusal)), None


def update_dynamic_schedule(op: Operation, request: m.UpdateDynamicScheduleRequest, now_s: float) -> Answer:
    """New values for a Dynamic profile (K28, Q04)."""
    refusal = op.update_dynamic(request.charging_profile_id, request.schedule_update, now_s)
    if refusal is not None:
        return m.UpdateDynamicScheduleResponse(status="Rejected", status_info=_refused(refusal)), None
    return m.UpdateDynamicScheduleResponse(status="Accepted"), None


def afrr_signal(op: Operation, request: m.AFRRSignalRequest, now_s: float) -> Answer:
    """A signal for every EVSE whose profile has a curve for it, from its timestamp on (Q08)."""
    if not op.takes_signals(now_s):
        refusal = Refusal("NoSignalWattCurve", "No profile with a v2xSignalWattCurve is in force.")
        return m.AFRRSignalResponse(status="Rejected", status_info=_refused(refusal)), None
    op.signal_from(request.signal, request.timestamp.timestamp(), now_s)
    return m.AFRRSignalResponse(status="Accepted"), None


def clear_charging_profile(op: Operation, request: m.ClearChargingProfileRequest, now_s: float) -> Answer:
    """By id, or by criteria that must all hold; neither is no request at all (K10)."""
    profiles = op.state.profiles
    if not isinstance(request.charging_profile_id, UnsetType):
        gone = profiles.clear(request.charging_profile_id)
        hits = [] if gone is None else [gone]
    else:
        criteria = request.charging_profile_criteria
        hits = [] if isinstance(criteria, UnsetType) else profiles.clear_by(criteria)
    op.reassess_all(now_s)
    for evse in op.state.evses.values():
        _complain_if_bare(op, evse, now_s)
    return m.ClearChargingProfileResponse(status="Accepted" if hits else "Unknown"), None


def _complain_if_bare(op: Operation, evse: SimEvse, now_s: float) -> None:
    """The fallback beneath a running discharge was cleared."""
    leader = next((one for one in op.state.profiles if one.profile.id == evse.effective.profile_id), None)
    if leader is not None and evse.effective.order.discharges:
        op.state.complain(evse, rules.judge_profile(leader.profile, evse, op.state.profiles, now_s), now_s)


def get_charging_profiles(op: Operation, request: m.GetChargingProfilesRequest, now_s: float) -> Answer:
    """The profiles themselves follow in ReportChargingProfiles, one message for each EVSE and source (K09)."""
    del now_s
    evse_id = None if isinstance(request.evse_id, UnsetType) else request.evse_id
    found = op.state.profiles.matching(evse_id, request.charging_profile)
    if not found:
        return m.GetChargingProfilesResponse(status="NoProfiles"), None
    places = sorted({(one.evse_id, one.source) for one in found})

    def report(now_s: float) -> None:
        for place in places:
            profiles = [one.profile for one in found if (one.evse_id, one.source) == place]
            message = m.ReportChargingProfilesRequest(
                request_id=request.request_id,
                charging_limit_source=place[1],
                evse_id=place[0],
                charging_profile=profiles,
                tbc=place != places[-1],
            )
            op.uplink.call("ReportChargingProfiles", message, now_s)

    return m.GetChargingProfilesResponse(status="Accepted"), report


def get_composite_schedule(op: Operation, request: m.GetCompositeScheduleRequest, now_s: float) -> Answer:
    """For one EVSE; the whole station's is not offered here."""
    evse = op.state.evses.get(request.evse_id)
    if evse is None:
        return m.GetCompositeScheduleResponse(status="Rejected", status_info=m.StatusInfoType(reason_code="UnknownEvse")), None
    return composite_schedule(request, evse, op.state.profiles, now_s), None


# ---- device model


def get_variables(op: Operation, request: m.GetVariablesRequest, now_s: float) -> Answer:
    """One result an item (B06)."""
    results = [variables.get_variable(op.state, item, now_s) for item in request.get_variable_data]
    return m.GetVariablesResponse(get_variable_result=results), None


def set_variables(op: Operation, request: m.SetVariablesRequest, now_s: float) -> Answer:
    """One result an item (B05); a new sampling interval is in force at once."""
    state = op.state
    before, aligned_before = (state.meter_interval_s, state.setpoint_interval_s), dict(state.aligned)
    results = [variables.set_variable(state, item) for item in request.set_variable_data]
    if aligned_before != state.aligned:
        aligned.start(op, now_s)
    if before != (state.meter_interval_s, state.setpoint_interval_s):
        for evse in state.evses.values():
            op.start_sampling(evse, now_s)
    return m.SetVariablesResponse(set_variable_result=results), None


def get_base_report(op: Operation, request: m.GetBaseReportRequest, now_s: float) -> Answer:
    """The whole device model follows in NotifyReport (B07)."""
    del now_s
    return m.GetBaseReportResponse(status="Accepted"), partial(_report, op, request.request_id, UNSET)


def get_report(op: Operation, request: m.GetReportRequest, now_s: float) -> Answer:
    """What is asked for follows in NotifyReport (B08); criteria are not known here."""
    if not isinstance(request.component_criteria, UnsetType):
        return m.GetReportResponse(status="NotSupported"), None
    if not any(True for _ in variables.report(op.state, now_s, request.component_variable)):
        return m.GetReportResponse(status="EmptyResultSet"), None
    return m.GetReportResponse(status="Accepted"), partial(_report, op, request.request_id, request.component_variable)


def _report(op: Operation, request_id: int, asked: list[m.ComponentVariableType] | UnsetType, now_s: float) -> None:
    rows = list(variables.report(op.state, now_s, asked))
    chunks = [rows[start : start + REPORT_ITEMS_PER_MESSAGE] for start in range(0, len(rows), REPORT_ITEMS_PER_MESSAGE)]
    for number, chunk in enumerate(chunks):
        message = m.NotifyReportRequest(
            request_id=request_id, generated_at=rpc.instant(now_s), seq_no=number, report_data=chunk, tbc=number + 1 < len(chunks)
        )
        op.uplink.call("NotifyReport", message, now_s)


# ---- transactions


def trigger_message(op: Operation, request: m.TriggerMessageRequest, now_s: float) -> Answer:
    """The message follows the answer (F06)."""
    del now_s
    evse = op.state.first_evse if isinstance(request.evse, UnsetType) else op.state.evses.get(request.evse.id)
    action = _TRIGGERS.get(request.requested_message)
    if action is None:
        return m.TriggerMessageResponse(status="NotImplemented"), None
    if evse is None or (request.requested_message == "TransactionEvent" and evse.transaction_id is None):
        return m.TriggerMessageResponse(status="Rejected"), None
    return m.TriggerMessageResponse(status="Accepted"), partial(action, op, evse)


def _trigger_event(op: Operation, evse: SimEvse, now_s: float) -> None:
    op.tell(evse, "Updated", "Trigger", now_s, context="Trigger")


def _trigger_status(op: Operation, evse: SimEvse, now_s: float) -> None:
    op.tell_status(evse, now_s, always=True)


def _trigger_heartbeat(op: Operation, evse: SimEvse, now_s: float) -> None:
    del evse
    op.uplink.call("Heartbeat", m.HeartbeatRequest(), now_s)


def _trigger_boot(op: Operation, evse: SimEvse, now_s: float) -> None:
    del evse
    op.uplink.call("BootNotification", boot_notification(op, "Triggered"), now_s)


def _trigger_meter(op: Operation, evse: SimEvse, now_s: float) -> None:
    if evse.silent:
        return
    state = op.state
    value = meter_value(evse.reading(now_s), state.measurands["Updated"], signed=state.settings.signed_import, context="Trigger")
    op.uplink.call("MeterValues", m.MeterValuesRequest(evse_id=evse.evse_id, meter_value=[value]), now_s)


_TRIGGERS: Final[dict[str, Callable[[Operation, SimEvse, float], None]]] = {
    "TransactionEvent": _trigger_event,
    "StatusNotification": _trigger_status,
    "Heartbeat": _trigger_heartbeat,
    "BootNotification": _trigger_boot,
    "MeterValues": _trigger_meter,
}


def boot_notification(op: Operation, reason: m.BootReasonEnumType) -> m.BootNotificationRequest:
    """What the station says of itself."""
    settings = op.state.settings
    station = m.ChargingStationType(
        model=settings.model,
        vendor_name=settings.vendor_name,
        serial_number=op.state.station_id[-25:],
        firmware_version=settings.firmware_version,
    )
    return m.BootNotificationRequest(charging_station=station, reason=reason)


def request_start(op: Operation, request: m.RequestStartTransactionRequest, now_s: float) -> Answer:
    """A car must be plugged in; a profile may come along, without a transaction id (K05)."""
    evse = op.state.first_evse if isinstance(request.evse_id, UnsetType) else op.state.evses.get(request.evse_id)
    if evse is None or not evse.occupied or evse.transaction_id is not None:
        return m.RequestStartTransactionResponse(status="Rejected"), None
    evse.token = request.id_token
    transaction_id = op.start(evse, now_s, "RemoteStart", request.remote_start_id)
    return m.RequestStartTransactionResponse(status="Accepted", transaction_id=transaction_id), None


def request_stop(op: Operation, request: m.RequestStopTransactionRequest, now_s: float) -> Answer:
    """Accepted ends the transaction; the car stays plugged in."""
    del now_s
    evse = op.state.evse_of(request.transaction_id)
    if evse is None:
        return m.RequestStopTransactionResponse(status="Rejected", status_info=m.StatusInfoType(reason_code="TxNotFound")), None
    return m.RequestStopTransactionResponse(status="Accepted"), lambda now_s: op.finish(evse, now_s, "RemoteStop", "Remote")


def transaction_status(op: Operation, request: m.GetTransactionStatusRequest, now_s: float) -> Answer:
    """Ongoing or not, and whether events are still queued (E14)."""
    del now_s
    events = [queued.request.transaction_info.transaction_id for queued in op.uplink.events]
    if isinstance(request.transaction_id, UnsetType):
        return m.GetTransactionStatusResponse(messages_in_queue=len(events) > 0), None
    wanted = request.transaction_id
    ongoing = op.state.evse_of(wanted) is not None
    return m.GetTransactionStatusResponse(messages_in_queue=wanted in events, ongoing_indicator=ongoing), None


def allowed_energy_transfer(op: Operation, request: m.NotifyAllowedEnergyTransferRequest, now_s: float) -> Answer:
    """The car is asked again; new needs follow (Q01.FR.06)."""
    evse = op.state.evse_of(request.transaction_id)
    if evse is None:
        info = m.StatusInfoType(reason_code="InvalidValue", additional_info="There is no such transaction.")
        return m.NotifyAllowedEnergyTransferResponse(status="Rejected", status_info=info), None
    op.renegotiate(evse, tuple(request.allowed_energy_transfer), now_s)
    return m.NotifyAllowedEnergyTransferResponse(status="Accepted"), None


def change_availability(op: Operation, request: m.ChangeAvailabilityRequest, now_s: float) -> Answer:
    """At once where no transaction runs, else once it has ended (G03, G04)."""
    del now_s
    evses = list(op.state.evses.values()) if isinstance(request.evse, UnsetType) else [op.state.evses.get(request.evse.id)]
    known = [evse for evse in evses if evse is not None]
    if not known:
        return m.ChangeAvailabilityResponse(status="Rejected"), None
    operative = request.operational_status == "Operative"
    for evse in known:
        evse.operative = operative
    busy = not operative and any(evse.transaction_id is not None for evse in known)

    def tell(now_s: float) -> None:
        for evse in known:
            if evse.transaction_id is None and not evse.occupied:
                op.set_status(evse, "Available" if operative else "Unavailable", now_s)

    return m.ChangeAvailabilityResponse(status="Scheduled" if busy else "Accepted"), tell


def _status(action: str, **fields: Any) -> Handler:
    """Always the same answer."""
    response = messages.ACTIONS[action][1](**fields)
    return lambda _op, _request, _now_s: (response, None)


def _no_monitors(op: Operation, request: m.SetVariableMonitoringRequest, now_s: float) -> Answer:
    del op, now_s
    results = [
        m.SetMonitoringResultType(
            status="UnsupportedMonitorType", type=one.type, component=one.component, variable=one.variable, severity=one.severity
        )
        for one in request.set_monitoring_data
    ]
    return m.SetVariableMonitoringResponse(set_monitoring_result=results), None


def _no_monitors_to_clear(op: Operation, request: m.ClearVariableMonitoringRequest, now_s: float) -> Answer:
    del op, now_s
    results = [m.ClearMonitoringResultType(status="NotFound", id=one) for one in request.id]
    return m.ClearVariableMonitoringResponse(clear_monitoring_result=results), None


def _no_tariffs_to_clear(op: Operation, request: m.ClearTariffsRequest, now_s: float) -> Answer:
    del op, now_s
    ids = [UNSET] if isinstance(request.tariff_ids, UnsetType) else request.tariff_ids
    results = [m.ClearTariffsResultType(status="NoTariff", tariff_id=one) for one in ids]
    return m.ClearTariffsResponse(clear_tariffs_result=results), None


ANSWERS: Final[dict[str, Handler]] = {
    "SetChargingProfile": set_charging_profile,
    "UpdateDynamicSchedule": update_dynamic_schedule,
    "ClearChargingProfile": clear_charging_profile,
    "GetChargingProfiles": get_charging_profiles,
    "GetCompositeSchedule": get_composite_schedule,
    "UsePriorityCharging": _status("UsePriorityCharging", status="NoProfile"),
    "AFRRSignal": afrr_signal,
    "NotifyAllowedEnergyTransfer": allowed_energy_transfer,
    "GetVariables": get_variables,
    "SetVariables": set_variables,
    "GetBaseReport": get_base_report,
    "GetReport": get_report,
    "TriggerMessage": trigger_message,
    "RequestStartTransaction": request_start,
    "RequestStopTransaction": request_stop,
    "GetTransactionStatus": transaction_status,
    "ChangeAvailability": change_availability,
    "ClearVariableMonitoring": _no_monitors_to_clear,
    "SetVariableMonitoring": _no_monitors,
    "ClearTariffs": _no_tariffs_to_clear,
    "AdjustPeriodicEventStream": _status("AdjustPeriodicEventStream", status="Rejected"),
    "CancelReservation": _status("CancelReservation", status="Rejected"),
    "CertificateSigned": _status("CertificateSigned", status="Rejected"),
    "ChangeTransactionTariff": _status("ChangeTransactionTariff", status="Rejected"),
    "ClearCache": _status("ClearCache", status="Accepted"),
    "ClearDERControl": _status("ClearDERControl", status="NotSupported"),
    "ClearDisplayMessage": _status("ClearDisplayMessage", status="Unknown"),
    "CostUpdated": _status("CostUpdated"),
    "CustomerInformation": _status("CustomerInformation", status="Rejected"),
    "DataTransfer": _status("DataTransfer", status="UnknownVendorId"),
    "DeleteCertificate": _status("DeleteCertificate", status="NotFound"),
    "GetDERControl": _status("GetDERControl", status="NotSupported"),
    "GetDisplayMessages": _status("GetDisplayMessages", status="Unknown"),
    "GetInstalledCertificateIds": _status("GetInstalledCertificateIds", status="NotFound"),
    "GetLocalListVersion": _status("GetLocalListVersion", version_number=0),
    "GetLog": _status("GetLog", status="Rejected"),
    "GetMonitoringReport": _status("GetMonitoringReport", status="EmptyResultSet"),
    "GetPeriodicEventStream": _status("GetPeriodicEventStream"),
    "GetTariffs": _status("GetTariffs", status="NoTariff"),
    "InstallCertificate": _status("InstallCertificate", status="Rejected"),
    "NotifyWebPaymentStarted": _status("NotifyWebPaymentStarted"),
    "PublishFirmware": _status("PublishFirmware", status="Rejected"),
    "RequestBatterySwap": _status("RequestBatterySwap", status="Rejected"),
    "ReserveNow": _status("ReserveNow", status="Rejected"),
    "SendLocalList": _status("SendLocalList", status="Failed"),
    "SetDERControl": _status("SetDERControl", status="NotSupported"),
    "SetDefaultTariff": _status("SetDefaultTariff", status="Rejected"),
    "SetDisplayMessage": _status("SetDisplayMessage", status="Rejected"),
    "SetMonitoringBase": _status("SetMonitoringBase", status="NotSupported"),
    "SetMonitoringLevel": _status("SetMonitoringLevel", status="Rejected"),
    "SetNetworkProfile": _status("SetNetworkProfile", status="Rejected"),
    "UnlockConnector": _status("UnlockConnector", status="UnlockFailed"),
    "UnpublishFirmware": _status("UnpublishFirmware", status="NoFirmware"),
    "UpdateFirmware": _status("UpdateFirmware", status="Rejected"),
}
"""Reset is the one action that concerns the line itself; `station` answers it."""
