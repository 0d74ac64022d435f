"""Which broker, how it is reached, and how much is said to it."""

from typing import Annotated

from msgspec import Meta, Struct

from counterflow.domain.grid import Program
from counterflow.domain.instructions import DispatchMode

TOPIC = "^[A-Za-z0-9._:-]+(/[A-Za-z0-9._:-]+)*$"


class MqttProgram(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is particular to one program."""

    topics: Annotated[
        str,
        Meta(description="Its topics stand below this, not `<prefix>/<program>`.", extra={"unit": "-"}, pattern=TOPIC, max_length=256),
    ]


class MqttSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The broker that programs with the wire `mqtt` are reached by."""

    host: Annotated[str, Meta(description="Name or address of the broker; empty = none.", extra={"unit": "-"}, max_length=253)] = ""
    port: Annotated[int, Meta(description="Its TCP port.", extra={"unit": "-"}, ge=1, le=65535)] = 8883
    tls: Annotated[bool, Meta(description="Speak TLS, and hold the broker's certificate against `ca_file`.", extra={"unit": "-"})] = True
    ca_file: Annotated[
        str, Meta(description="PEM file of the authorities that are believed; empty = those of the system.", extra={"unit": "-"})
    ] = ""
    certificate: Annotated[str, Meta(description="PEM file of our own certificate, where one is asked for.", extra={"unit": "-"})] = ""
    key: Annotated[str, Meta(description="PEM file of its private key; empty = in the same file.", extra={"unit": "-"})] = ""
    plain_beyond_this_host: Annotated[
        bool, Meta(description="Go without TLS to a broker on another host (a closed network lies between).", extra={"unit": "-"})
    ] = False
    username: Annotated[str, Meta(description="Name to log in by; empty = none.", extra={"unit": "-"})] = ""
    password_file: Annotated[str, Meta(description="File whose first line is the password.", extra={"unit": "-"})] = ""
    password_variable: Annotated[
        str, Meta(description="Name of the environment variable that holds the password.", extra={"unit": "-"})
    ] = ""
    client_id: Annotated[
        str,
        Meta(
            description="Name of our session at the broker; two servers at one broker need different ones.",
            extra={"unit": "-"},
            pattern="^[A-Za-z0-9_-]{1,64}$",
        ),
    ] = "counterflow"
    prefix: Annotated[
        str,
        Meta(description="All topics begin with this.", extra={"unit": "-"}, pattern="^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", max_length=128),
    ] = "counterflow"
    programs: Annotated[
        dict[str, MqttProgram],
        Meta(description="Programs whose topics stand elsewhere, by their name.", extra={"unit": "-"}),
    ] = {}
    keep_alive_s: Annotated[
        int, Meta(description="A line that is silent for one and a half times this is dead.", extra={"unit": "s"}, ge=5, le=600)
    ] = 15
    timeout_s: Annotated[float, Meta(description="The broker acknowledges within this, or it is lost.", extra={"unit": "s"}, ge=1)] = 10.0
    retry_min_s: Annotated[float, Meta(description="Pause before the first attempt to connect again.", extra={"unit": "s"}, gt=0)] = 0.5
    retry_max_s: Annotated[float, Meta(description="The pause doubles up to this.", extra={"unit": "s"}, gt=0)] = 30.0
    session_expiry_s: Annotated[
        int,
        Meta(description="The broker keeps what was sent to us for so long while we are away.", extra={"unit": "s"}, ge=0, le=604_800),
    ] = 3_600
    receive_maximum: Annotated[
        int,
        Meta(
            description="Messages that the broker is asked to send at most before the first is dealt with.",
            extra={"unit": "-"},
            ge=1,
            le=1_000,
        ),
    ] = 20
    max_message_bytes: Annotated[int, Meta(description="Larger messages are not taken.", extra={"unit": "B"}, ge=1_024, le=1_048_576)] = (
        262_144
    )
    malformed_per_min: Annotated[
        float,
        Meta(
            description="So many unreadable messages a minute are answered; others are only counted.",
            extra={"unit": "1/min"},
            gt=0,
        ),
    ] = 60.0
    offer_every_s: Annotated[float, Meta(description="What the pools can surely give is told so often.", extra={"unit": "s"}, ge=10)] = (
        300.0
    )
    offer_windows_min: Annotated[
        tuple[Annotated[float, Meta(ge=5, le=1_440)], ...],
        Meta(description="Over windows of these lengths, from now on; none = it is not told.", extra={"unit": "min"}),
    ] = (15.0, 60.0, 240.0)
    offer_modes: Annotated[
        tuple[DispatchMode, ...],
        Meta(
            description="In each of these modes; none = in the one that counts for the program (`programs.mode`).",
            extra={"unit": "-"},
            max_length=3,
        ),
    ] = ()
    replay_batch: Annotated[
        int, Meta(description="Records in one message of those that are sent after an outage.", extra={"unit": "-"}, ge=1, le=1_000)
    ] = 200
    replay_per_s: Annotated[
        float, Meta(description="So many such records a second at most, so that a replay disturbs nobody.", extra={"unit": "1/s"}, gt=0)
    ] = 5_000.0

    def topics_of(self, program: Program) -> str:
        """Below this the topics of a program stand."""
        own = self.programs.get(program.name)
        return f"{self.prefix}/{program.called}" if own is None else own.topics
