"""What can be tuned in how other actors are looked for and dealt with."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

ClaimPriority = Literal["confirmed", "always", "never"]


class ConflictSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Looking for other actors' profiles, and what to do where a station cannot tell."""

    discharge_untold: Annotated[
        bool,
        Meta(
            description="A station that does not implement GetChargingProfiles may be discharged; its answers to our profiles will tell.",
            extra={"unit": "-"},
        ),
    ] = True
    claim_priority: Annotated[
        ClaimPriority,
        Meta(
            description="Where a local system can set the power, SetpointPriority is set to CSMS: at sites whose operator has confirmed "
            "that we have priority, everywhere but where he said otherwise, or never.",
            extra={"unit": "-"},
        ),
    ] = "confirmed"
    looks_in_parallel: Annotated[
        int, Meta(description="How many stations are asked for their profiles at the same time.", extra={"unit": "-"}, ge=1, le=10_000)
    ] = 50
    look_gap_s: Annotated[
        float, Meta(description="A station is not asked again sooner, whatever hints at a change.", extra={"unit": "s"}, ge=0, le=3600)
    ] = 30.0
    report_timeout_s: Annotated[
        float, Meta(description="A report that is not continued for this long is given up.", extra={"unit": "s"}, gt=0, le=600)
    ] = 30.0
    retry_s: Annotated[
        float,
        Meta(description="Wait before a station that did not answer is asked again; it doubles each time.", extra={"unit": "s"}, gt=0),
    ] = 60.0
    retry_max_s: Annotated[float, Meta(description="Longest such wait.", extra={"unit": "s"}, gt=0, le=86_400)] = 3600.0
    own_change_s: Annotated[
        float,
        Meta(description="A change of charging rate this soon after a setpoint of ours hints at nobody else.", extra={"unit": "s"}, ge=0),
    ] = 60.0
    deviation_after_s: Annotated[
        float,
        Meta(
            description="A car that is this long after its setpoint not at half of it: the station is asked for its composite schedule.",
            extra={"unit": "s"},
            ge=1,
        ),
    ] = 25.0
    composite_s: Annotated[
        int, Meta(description="How far ahead a composite schedule is asked for.", extra={"unit": "s"}, ge=60, le=86_400)
    ] = 900
