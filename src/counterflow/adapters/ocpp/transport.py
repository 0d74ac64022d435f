"""The port between the OCPP core and whatever carries its text: what a line is, who handles it, and the limits it is held to.

Nothing here knows OCPP's messages, and nothing here knows picows: another WebSocket library could stand behind the same words.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, Protocol

from msgspec import Meta, Struct, field

from counterflow.adapters.ocpp.credentials import Credentials
from counterflow.adapters.ocpp.limits import AddressSettings
from counterflow.adapters.ocpp.listeners import ListenerSettings, SecurityProfile
from counterflow.domain.ids import StationId


class CloseCode(IntEnum):
    """WebSocket close codes that we send (RFC 6455, 7.4.1; from 4000 on they are ours)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    INVALID_PAYLOAD = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    REPLACED = 4000


class Admitted(Struct, frozen=True):
    """The station may come in. `subprotocol` is one of those it offered; None = none in common: opened, then closed at once."""

    subprotocol: str | None


class Refused(Struct, frozen=True):
    """The station is turned away with this HTTP status before any upgrade (404 unknown, 401 wrong password, ...).

    `reason` is a short fixed phrase: it is sent to the station, logged, and counted by, so it must not contain the station's id.
    """

    http_status: int
    reason: str


Admission = Admitted | Refused


class Shown(Struct, frozen=True):
    """How a station shows who it is. Nothing in here has been checked against the register yet."""

    profile: SecurityProfile = SecurityProfile.BASIC
    """Of the port that it came in by."""
    credentials: Credentials | None = None
    """None when none were sent; its user has already been compared with the station's identity."""
    certificate_names: tuple[str, ...] = ()
    """Names in the verified certificate (profile 3), common name first."""
    void: str | None = None
    """Why the certificate is no good although it verifies: it is revoked."""


class Line(Protocol):
    """One open WebSocket of one station."""

    @property
    def station_id(self) -> StationId:
        """Identity from the URL, decoded and checked."""
        ...

    @property
    def subprotocol(self) -> str:
        """The agreed version, such as `ocpp2.1`."""
        ...

    @property
    def peer(self) -> str:
        """Address and port of the other end, for logs."""
        ...

    @property
    def certificate_names(self) -> tuple[str, ...]:
        """Who the station's verified certificate says it is, common name first; empty without one."""
        ...

    def send(self, text: bytes, *, is_call: bool = False) -> None:
        """Send one whole text message. Never blocks, never raises because of the peer.

        Messages leave in the order of the calls, whole or not at all; a later one never arrives without the earlier ones. What is sent
        after the line has ended is dropped without a word, and a message handed over may still be lost with the line: only an
        answer proves arrival. A station that reads too slowly is cut off. `is_call` marks the CALLs that may be compressed.
        """
        ...

    def close(self, code: int, reason: str) -> None:
        """End the line. `LineHandler.closed` follows from the event loop, not from inside this call. Closing twice is fine."""
        ...


class LineHandler(Protocol):
    """What the core behind the lines must offer. All of it is called on the event loop and must not block.

    For each line: `opened` once, then `received` any number of times, then `closed` once. `closed` is never called from inside `send`
    or `close`. An exception from here is logged and counted; it never reaches another line.
    """

    def admit(self, station_id: StationId, offered: Sequence[str], shown: Shown, peer: str) -> Admission:
        """Decide on a handshake from memory, in microseconds. Must keep no state: the line may still fail to open.

        `offered` are the subprotocols in the station's order of preference.
        """
        ...

    def opened(self, line: Line) -> None:
        """The line is ready to send. An older line of the same station has been closed before this."""
        ...

    def received(self, line: Line, text: bytes) -> None:
        """One whole text message: joined, inflated, a copy of its own. UTF-8 is left to the JSON decoder, which checks it anyway."""
        ...

    def closed(self, line: Line, reason: str) -> None:
        """The line has ended; sends on it do nothing."""
        ...


class GatewayCounters(Struct, kw_only=True):
    """What the gateway has seen since it was made. `bytes_in` and `bytes_out` are payload bytes as on the wire (compressed)."""

    connections: int = 0
    """Lines open now."""
    accepted: int = 0
    """Lines ever opened."""
    refused: dict[str, int] = field(default_factory=dict)
    """Handshakes turned away, by reason."""
    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    cut_off: int = 0
    """Lines ended because the station read too slowly."""
    throttled: int = 0
    """Times that a line was not read for a while, because its station sent too much."""
    silent: int = 0
    """Lines ended because a ping stayed unanswered."""
    violations: int = 0
    """Lines ended because the station broke the WebSocket protocol or a size limit."""
    faults: int = 0
    """Exceptions from the handler."""


class GatewaySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where stations connect, and the bounds that keep any one of them from harming the rest."""

    host: Annotated[str, Meta(description="Address to listen on; 0.0.0.0 or :: for all.", min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(description="TCP port for stations; 0 picks a free one.", ge=0, le=65535)] = 9000
    path_prefix: Annotated[
        str,
        Meta(description="Path before the station's identity in the URL.", pattern=r"^(/[A-Za-z0-9._~-]+)*$", max_length=200),
    ] = "/ocpp"
    listeners: Annotated[
        tuple[ListenerSettings, ...],
        Meta(description="Further ports with TLS; `host` and `port` above are the one of security profile 1.", max_length=16),
    ] = ()
    tls_handshakes_per_s: Annotated[
        float,
        Meta(
            description="TLS handshakes begun per second on one port; more wait in the kernel. One costs 0.6 to 2 ms of CPU.",
            extra={"unit": "1/s"},
            ge=1.0,
            le=100_000.0,
        ),
    ] = 300.0
    address: Annotated[AddressSettings, Meta(description="What one network address may have.")] = AddressSettings()
    max_connections: Annotated[int, Meta(description="Open lines; further stations are answered 503.", ge=1, le=1_000_000)] = 15_000
    handshake_timeout_s: Annotated[
        float, Meta(description="Time for a new connection to finish its HTTP request.", extra={"unit": "s"}, ge=0.1, le=120.0)
    ] = 20.0
    max_message_bytes: Annotated[
        int,
        Meta(
            description="Largest message from a station, joined and inflated.",
            extra={"unit": "B"},
            ge=1024,
            le=64 * 1024 * 1024,
        ),
    ] = 1024 * 1024
    max_fragments: Annotated[int, Meta(description="Most frames that one message may come in.", ge=1, le=65536)] = 2048
    messages_per_s: Annotated[
        float,
        Meta(
            description="Frames of one station per second, on average; beyond its burst it is read no faster, and TCP holds it back.",
            extra={"unit": "1/s"},
            ge=1.0,
            le=1_000_000.0,
        ),
    ] = 200.0
    message_burst: Annotated[
        int, Meta(description="Frames of one station at once after a quiet time: what it kept while it was offline.", ge=16, le=10_000_000)
    ] = 10_000
    receive_bytes_per_s: Annotated[
        float,
        Meta(description="Bytes of one station per second, on average.", extra={"unit": "B/s"}, ge=1024.0, le=1e9),
    ] = 256.0 * 1024.0
    receive_burst_bytes: Annotated[
        int,
        Meta(description="Bytes of one station at once after a quiet time.", extra={"unit": "B"}, ge=4096, le=1024 * 1024 * 1024),
    ] = 8 * 1024 * 1024
    write_buffer_bytes: Annotated[
        int,
        Meta(
            description="Unsent bytes beyond the kernel's buffer at which a slow station is cut off.",
            extra={"unit": "B"},
            ge=4096,
            le=64 * 1024 * 1024,
        ),
    ] = 512 * 1024
    socket_buffer_bytes: Annotated[
        int,
        Meta(
            description="Kernel send and receive buffer asked for per connection.",
            extra={"unit": "B"},
            ge=4096,
            le=16 * 1024 * 1024,
        ),
    ] = 128 * 1024
    ping_interval_s: Annotated[
        float, Meta(description="Silence after which a station is pinged.", extra={"unit": "s"}, ge=0.05, le=86400.0)
    ] = 60.0
    ping_timeout_s: Annotated[float, Meta(description="Time to show life after a ping.", extra={"unit": "s"}, ge=0.05, le=3600.0)] = 30.0
    close_timeout_s: Annotated[
        float, Meta(description="Time for a station to answer our close frame.", extra={"unit": "s"}, ge=0.01, le=60.0)
    ] = 2.0
    max_faults: Annotated[int, Meta(description="Faults of ours in a row on one line after which it is closed.", ge=1, le=1000)] = 5
    deflate: Annotated[bool, Meta(description="Agree to permessage-deflate when a station offers it.")] = True
    compress_calls_above_bytes: Annotated[
        int,
        Meta(description="CALLs of ours longer than this are compressed.", extra={"unit": "B"}, ge=0, le=64 * 1024 * 1024),
    ] = 1024
