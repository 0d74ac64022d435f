"""Who is called, with what, and how long it is tried."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Event = Literal["orders", "report", "telemetry"]


class WebhookSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A receiver that is called when something happens to a program. It can be named in the file only."""

    name: Annotated[str, Meta(description="Name of it here, in alarms and metrics.", extra={"unit": "-"}, pattern="^[A-Za-z0-9_-]{1,64}$")]
    url: Annotated[str, Meta(description="Where to post.", extra={"unit": "-"}, pattern="^https?://", max_length=2_000)]
    program: Annotated[
        str, Meta(description="The [[programs]] entry whose words it gets, in its sign and unit.", extra={"unit": "-"}, min_length=1)
    ]
    events: Annotated[
        tuple[Event, ...],
        Meta(
            description="`orders` (all standing orders, after each change), `report` (one is ready), `telemetry` (in batches).",
            extra={"unit": "-"},
            min_length=1,
        ),
    ] = ("orders", "report", "telemetry")
    secret_file: Annotated[str, Meta(description="File whose first line is the secret that posts are signed by.", extra={"unit": "-"})] = ""
    secret_variable: Annotated[str, Meta(description="Name of the environment variable that holds that secret.", extra={"unit": "-"})] = ""
    ca_file: Annotated[
        str, Meta(description="PEM file of the authorities that are believed; empty = those of the system.", extra={"unit": "-"})
    ] = ""
    plain_http: Annotated[
        bool, Meta(description="Go by plain HTTP to a public address or a name (a closed network lies between).", extra={"unit": "-"})
    ] = False
    batch_s: Annotated[float, Meta(description="Telemetry is posted so often.", extra={"unit": "s"}, ge=1, le=3_600)] = 10.0
    batch_records: Annotated[int, Meta(description="Records of one post at most.", extra={"unit": "-"}, ge=1, le=1_000)] = 500
    timeout_s: Annotated[float, Meta(description="The receiver answers within this.", extra={"unit": "s"}, gt=0, le=120)] = 10.0
    retry_min_s: Annotated[float, Meta(description="Pause before a post is tried again.", extra={"unit": "s"}, gt=0)] = 1.0
    retry_max_s: Annotated[float, Meta(description="The pause doubles up to this.", extra={"unit": "s"}, gt=0)] = 300.0
    max_waiting: Annotated[
        int,
        Meta(description="So many orders and reports are kept for it; then the oldest go.", extra={"unit": "-"}, ge=10, le=100_000),
    ] = 2_000
