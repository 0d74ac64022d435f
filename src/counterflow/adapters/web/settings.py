"""Where the HTTP API listens, and its bounds."""

from typing import Annotated

from msgspec import Meta, Struct


class ApiSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The HTTP API."""

    host: Annotated[str, Meta(description="Address the API listens on.", extra={"unit": "-"}, min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(description="TCP port of the API; 0 picks a free one.", extra={"unit": "-"}, ge=0, le=65535)] = 8000
    tls_certificate: Annotated[
        str,
        Meta(
            description="PEM file with the API's certificate and those between it and its authority; empty = plain HTTP.",
            extra={"unit": "-"},
        ),
    ] = ""
    tls_key: Annotated[str, Meta(description="PEM file with the certificate's private key.", extra={"unit": "-"})] = ""
    plain_http_beyond_this_host: Annotated[
        bool,
        Meta(
            description="Serve plain HTTP on an address that others can reach (a TLS proxy or a closed network stands in front).",
            extra={"unit": "-"},
        ),
    ] = False
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(description="Addresses of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.", extra={"unit": "-"}),
    ] = ()
    max_body_bytes: Annotated[
        int, Meta(description="Largest request body that is read; a larger one is refused.", extra={"unit": "B"}, ge=1024)
    ] = 1_048_576
    keep_alive_s: Annotated[
        float, Meta(description="The event stream sends a comment when nothing has happened for this long.", extra={"unit": "s"}, gt=0)
    ] = 15.0
    idle_connection_s: Annotated[
        float,
        Meta(
            description="A connection that idles after an answer is closed after this. Longer than what a proxy in front, or a client, "
            "keeps idle connections: closed by the server first, their next request is lost.",
            extra={"unit": "s"},
            gt=0,
            le=3600,
        ),
    ] = 75.0
    request_within_s: Annotated[
        float,
        Meta(description="A request that is not whole after this is cut off with its connection.", extra={"unit": "s"}, gt=0, le=3600),
    ] = 60.0
    max_connections: Annotated[
        int,
        Meta(
            description="Open connections of the API. One more takes the place of the one that has said nothing for longest and waits "
            "for no answer, or has taken nothing of it for 10 s; where all wait for answers it is answered 503, unless it asks for "
            "the emergency stop.",
            extra={"unit": "-"},
            ge=4,
            le=10_000,
        ),
    ] = 256
    max_event_streams: Annotated[int, Meta(description="Event streams open at the same time.", extra={"unit": "-"}, ge=1)] = 64
    render_threads: Annotated[
        int, Meta(description="Reports that are drawn or written at the same time; others wait.", extra={"unit": "-"}, ge=1, le=16)
    ] = 2
