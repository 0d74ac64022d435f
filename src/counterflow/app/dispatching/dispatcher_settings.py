"""The rhythm of the dispatcher."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from counterflow.engine.control.stream import StreamSettings
from counterflow.engine.offers.settings import OfferSettings


class DispatcherSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rhythm of handing out, beside the control period."""

    wake_gap_s: Annotated[
        float, Meta(description="A drop-out brings the next tick forward, but no closer than this to the last.", extra={"unit": "s"}, gt=0)
    ] = 1.0
    fan_out_per_turn: Annotated[
        int, Meta(description="Setpoints handed out before metering gets its turn again.", extra={"unit": "-"}, ge=1)
    ] = 40
    late_ticks: Annotated[
        Literal["drift", "resync"],
        Meta(
            description="A tick that comes late runs once, at once, and those that were missed are left out; the next comes a whole period "
            "later (drift), or when it would have come anyway (resync).",
            extra={"unit": "-"},
        ),
    ] = "drift"
    streams: StreamSettings = StreamSettings()
    offers: OfferSettings = OfferSettings()
