"""Blocks D, H, I, O, P and S: nothing that a dispatch needs; each request gets the honest neutral answer."""

from typing import Final

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp.handlers.context import Answer, StationContext, always

notify_display_messages: Final = always(ocpp.NotifyDisplayMessagesResponse())
"""O03, O04."""


reservation_status_update: Final = always(ocpp.ReservationStatusUpdateResponse())
"""H04."""


notify_settlement: Final = always(ocpp.NotifySettlementResponse())
"""C23: payment is settled elsewhere."""


def vat_number_validation(request: ocpp.VatNumberValidationRequest, _station: StationContext, _now_s: float) -> Answer:
    """I13: not checked here, so not confirmed."""
    response = ocpp.VatNumberValidationResponse(
        vat_number=request.vat_number,
        status="Rejected",
        evse_id=request.evse_id,
        status_info=ocpp.StatusInfoType(reason_code="NotEnabled", additional_info="This CSMS does not check VAT numbers."),
    )
    return response, []


battery_swap: Final = always(ocpp.BatterySwapResponse())
"""S01 to S03."""


data_transfer: Final = always(ocpp.DataTransferResponse(status="UnknownVendorId"))
"""P02: no vendor extensions are known here (P02.FR.07)."""
