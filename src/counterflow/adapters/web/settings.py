"""Where the HTTP API listens, and its bounds."""

from typing import Annotated

from msgspec import Meta, Struct


class ApiSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The HTTP API."""

    host: Annotated[str, Meta(description="Address the API listens on.", extra={"unit": "-"}, min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(description="TCP port of the API; 0 picks a free one.", extra={"unit": "-"}, ge=0, le=65535)] = 8000
