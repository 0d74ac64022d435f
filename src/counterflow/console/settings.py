"""Settings of the console, and what its process is told at its start."""

from typing import Annotated

from msgspec import Meta, Struct


class ConsoleSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The console in the browser."""

    enabled: Annotated[bool, Meta(description="Whether `serve` starts the console.", extra={"unit": "-"})] = True
    host: Annotated[str, Meta(description="Address that it listens on.", extra={"unit": "-"}, min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(description="Port; 0 takes a free one.", extra={"unit": "-"}, ge=0, le=65_535)] = 8080
    origins: Annotated[
        tuple[str, ...],
        Meta(
            description="Further addresses under which browsers reach it, such as that of a TLS proxy: https://console.example.",
            extra={"unit": "-"},
        ),
    ] = ()
    idle_min: Annotated[
        float, Meta(description="Whoever has had no page open for so long must sign in again.", extra={"unit": "min"}, gt=0)
    ] = 30.0
    session_h: Annotated[float, Meta(description="Whoever signed in must sign in again after so long.", extra={"unit": "h"}, gt=0)] = 12.0


class ConsoleOrders(Struct, frozen=True, kw_only=True):
    """What the process is told on its standard input: never on the command line, which others can read."""

    settings: ConsoleSettings
    api_url: str
    feed_token: str
    """A viewer's token, for what all signed-in people are shown alike."""
    api_certificate: str = ""
    """File of the certificate that the API shows; empty = it speaks plain HTTP, or shows one that the system trusts."""
