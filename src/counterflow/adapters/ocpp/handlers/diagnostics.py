"""Block N, diagnostics and periodic event streams (NotifyEvent is with availability)."""

from typing import Final

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp.handlers.context import always

log_status_notification: Final = always(ocpp.LogStatusNotificationResponse())
"""N01."""


notify_monitoring_report: Final = always(ocpp.NotifyMonitoringReportResponse())
"""N02."""


notify_customer_information: Final = always(ocpp.NotifyCustomerInformationResponse())
"""N09: personal data that nobody here asked for; not kept."""


open_periodic_event_stream: Final = always(
    ocpp.OpenPeriodicEventStreamResponse(
        status="Rejected", status_info=ocpp.StatusInfoType(reason_code="NotEnabled", additional_info="Please send NotifyEvent instead.")
    )
)
"""N11: refused; the station then sends NotifyEvent."""


close_periodic_event_stream: Final = always(ocpp.ClosePeriodicEventStreamResponse())
"""N12."""
