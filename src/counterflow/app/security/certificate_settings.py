"""Who signs what stations ask to be signed."""

from typing import Annotated

from msgspec import Meta, Struct


class CertificateSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who signs what stations ask to be signed."""

    signer: Annotated[
        str,
        Meta(
            description="Who signs requests of stations: `none`, `built-in` (keys in the data dir) or `call-out` (`call_out_url`).",
            pattern="^(none|built-in|call-out)$",
        ),
    ] = "built-in"
    call_out_url: Annotated[
        str, Meta(description="Where a request is posted as JSON; the answer holds `certificate_chain`.", pattern="^(https?://.+)?$")
    ] = ""
    call_out_timeout_s: Annotated[float, Meta(description="Time for its answer.", extra={"unit": "s"}, gt=0.0, le=600.0)] = 30.0
    station_days: Annotated[
        float, Meta(description="Validity of a station's certificate by the built-in authority.", extra={"unit": "d"}, ge=1.0, le=3650.0)
    ] = 365.0
    vehicle_days: Annotated[
        float, Meta(description="Validity of a certificate that is shown to cars (ISO 15118).", extra={"unit": "d"}, ge=1.0, le=3650.0)
    ] = 60.0
    pause_s: Annotated[
        float, Meta(description="Least time between two certificates of one kind for one station.", extra={"unit": "s"}, ge=0.0, le=86400.0)
    ] = 60.0
