"""Settings of the reports of one VEN."""

from typing import Annotated

from msgspec import Meta, Struct


class ReportSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How reports are made that events ask for (docs/openadr.md)."""

    grace_s: Annotated[
        float, Meta(description="After the last interval so long is waited for meter values.", extra={"unit": "s"}, ge=0, le=3600)
    ] = 30.0
    sub_interval_s: Annotated[
        float, Meta(description="Longest part of an interval where SUB_INTERVALS or OPEN_INTERVALS are asked.", extra={"unit": "s"}, ge=1)
    ] = 60.0
    correct_for_s: Annotated[
        float, Meta(description="So long a report is corrected (PUT) when late meter values come.", extra={"unit": "s"}, ge=0)
    ] = 604_800.0
    confidences: Annotated[
        tuple[float, ...],
        Meta(
            description="What can surely be given is reported at these confidences, each in a report of its own; of 0.5, 0.9, 0.95, 0.99.",
            extra={"unit": "1"},
            min_length=1,
        ),
    ] = (0.5, 0.9, 0.99)
    meter_accuracy_frac: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        Meta(description="Class of the stations' meters, told as `accuracy`; none = not told.", extra={"unit": "1"}),
    ] = None
    charge_level_in_percent: Annotated[
        bool,
        Meta(description="STORAGE_CHARGE_LEVEL is written as 0 to 100; no = 0 to 1. Schema and guide differ.", extra={"unit": "-"}),
    ] = False
    most_offers: Annotated[
        int, Meta(description="A forecast has so many intervals at most that are worked out.", extra={"unit": "-"}, ge=1, le=200)
    ] = 48
    give_up_after_s: Annotated[
        float, Meta(description="A report that the VTN does not take is tried again for so long.", extra={"unit": "s"}, ge=0)
    ] = 86_400.0
