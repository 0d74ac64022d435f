"""Which handler answers which action: every request that a charging station can send in OCPP 2.1."""

from typing import Final

from counterflow.adapters.ocpp.handlers import (
    authorization,
    availability,
    der_control,
    diagnostics,
    firmware,
    meter_values,
    other_blocks,
    provisioning,
    security,
    smart_charging,
    transactions,
)
from counterflow.adapters.ocpp.handlers.context import Handler

ROUTES: Final[dict[str, Handler]] = {
    "Authorize": authorization.authorize,
    "BatterySwap": other_blocks.battery_swap,
    "BootNotification": provisioning.boot_notification,
    "ClearedChargingLimit": smart_charging.cleared_charging_limit,
    "ClosePeriodicEventStream": diagnostics.close_periodic_event_stream,
    "DataTransfer": other_blocks.data_transfer,
    "FirmwareStatusNotification": firmware.firmware_status_notification,
    "Get15118EVCertificate": security.get_15118_ev_certificate,
    "GetCertificateChainStatus": security.get_certificate_chain_status,
    "GetCertificateStatus": security.get_certificate_status,
    "Heartbeat": provisioning.heartbeat,
    "LogStatusNotification": diagnostics.log_status_notification,
    "MeterValues": meter_values.meter_values,
    "NotifyChargingLimit": smart_charging.notify_charging_limit,
    "NotifyCustomerInformation": diagnostics.notify_customer_information,
    "NotifyDERAlarm": der_control.notify_der_alarm,
    "NotifyDERStartStop": der_control.notify_der_start_stop,
    "NotifyDisplayMessages": other_blocks.notify_display_messages,
    "NotifyEVChargingNeeds": smart_charging.notify_ev_charging_needs,
    "NotifyEVChargingSchedule": smart_charging.notify_ev_charging_schedule,
    "NotifyEvent": availability.notify_event,
    "NotifyMonitoringReport": diagnostics.notify_monitoring_report,
    "NotifyPriorityCharging": smart_charging.notify_priority_charging,
    "NotifyReport": provisioning.notify_report,
    "NotifySettlement": other_blocks.notify_settlement,
    "OpenPeriodicEventStream": diagnostics.open_periodic_event_stream,
    "PublishFirmwareStatusNotification": firmware.publish_firmware_status_notification,
    "PullDynamicScheduleUpdate": smart_charging.pull_dynamic_schedule_update,
    "ReportChargingProfiles": smart_charging.report_charging_profiles,
    "ReportDERControl": der_control.report_der_control,
    "ReservationStatusUpdate": other_blocks.reservation_status_update,
    "SecurityEventNotification": security.security_event_notification,
    "SignCertificate": security.sign_certificate,
    "StatusNotification": availability.status_notification,
    "TransactionEvent": transactions.transaction_event,
    "VatNumberValidation": other_blocks.vat_number_validation,
}
"""Complete: a test holds it against `messages.FROM_STATION`."""
