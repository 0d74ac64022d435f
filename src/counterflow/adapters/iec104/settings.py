"""Where the outstation listens, who may connect, and which stations (common addresses) it holds."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

HIGHEST_ADDRESS = 16_777_215
"""Information object addresses have three octets (IEC 60870-5-104, 9.2)."""


def _shown(words: str) -> Meta:
    """The meaning and bounds of an address at which something is shown."""
    return Meta(description=words, extra={"unit": "-"}, ge=0, le=HIGHEST_ADDRESS)


class SetpointType(StrEnum):
    """ASDU types of a set-point that are understood."""

    SHORT = "C_SE_NC_1"
    """Type 50: short floating point number."""
    SHORT_TIMED = "C_SE_TC_1"
    """Type 63: the same with CP56Time2a."""


class CommandMode(StrEnum):
    """How a set-point is commanded: one command, or a selection followed by an execution."""

    DIRECT = "direct"
    SELECT = "select"


class SetpointSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One address by which the set-point is commanded. An address understands one type."""

    address: Annotated[int, Meta(description="Information object address.", extra={"unit": "-"}, ge=1, le=HIGHEST_ADDRESS)]
    type: Annotated[
        SetpointType, Meta(description="C_SE_NC_1 (50), or C_SE_TC_1 (63) with the time of the command.", extra={"unit": "-"})
    ] = SetpointType.SHORT
    mode: Annotated[
        CommandMode, Meta(description="direct, or select: a command that was not selected before is refused.", extra={"unit": "-"})
    ] = CommandMode.DIRECT


class PointAddresses(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Addresses of what is shown; 0 leaves a point out."""

    setpoint: Annotated[int, _shown("Set-point that was taken last (echo).")] = 1002
    measured_power: Annotated[int, _shown("Power of the pool.")] = 2001
    baseline_power: Annotated[int, _shown("Baseline.")] = 2002
    delivered_power: Annotated[int, _shown("Delivered power: power less baseline.")] = 2003
    up_power: Annotated[int, _shown("More discharge that can be given firmly (P90), without charging that can be given up.")] = 2004
    down_power: Annotated[int, _shown("Discharge that can be taken back.")] = 2005
    up_energy: Annotated[int, _shown("Energy that can be given firmly (P90).")] = 2006
    up_endurance: Annotated[int, _shown("How long the available power lasts.")] = 2008
    ramp: Annotated[int, _shown("Ramp of the pool, up and down.")] = 2010
    sessions: Annotated[int, _shown("Connected cars.")] = 2012
    sessions_ready: Annotated[int, _shown("Cars that can be discharged.")] = 2014
    committed_power: Annotated[int, _shown("Power committed to the running dispatch.")] = 2015
    meter_age: Annotated[int, _shown("Age of the oldest meter value in the sum.")] = 2016
    target_power: Annotated[int, _shown("Target of the running dispatch: set-point, ramped.")] = 2017
    available: Annotated[int, _shown("Available for dispatch.")] = 3001
    following: Annotated[int, _shown("Set-point followed.")] = 3002
    fault: Annotated[int, _shown("Local fault.")] = 3003
    heartbeat: Annotated[int, _shown("Heartbeat: toggles with every cycle.")] = 3004
    source_silent: Annotated[int, _shown("No set-point for too long: the dead-man acts.")] = 3011


class StationSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One controlled station: a program behind a common address."""

    program: Annotated[str, Meta(description="Name of the [[programs]] entry that it serves.", extra={"unit": "-"}, min_length=1)]
    common_address: Annotated[int, Meta(description="Common address of ASDU.", extra={"unit": "-"}, ge=1, le=65_534)] = 1
    setpoints: Annotated[tuple[SetpointSettings, ...], Meta(description="Addresses by which it is commanded.", extra={"unit": "-"})] = (
        SetpointSettings(address=1001),
        SetpointSettings(address=1003, type=SetpointType.SHORT_TIMED),
    )
    points: PointAddresses = PointAddresses()
    cycle_s: Annotated[
        float, Meta(description="All points are sent with the cause 'periodic' once in so long.", extra={"unit": "s"}, ge=1, le=3600)
    ] = 4.0
    deadband_frac: Annotated[
        float,
        Meta(
            description="What has moved by more than this share of the program's largest power (an energy: of that times 1 h, a ramp: of "
            "that in 1 min) is sent at once with the cause 'spontaneous'.",
            extra={"unit": "-"},
            ge=0,
            le=1,
        ),
    ] = 0.005


class Iec104Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """IEC 60870-5-104 outstation (extra: pip install 'counterflow[iec104]'); off without stations."""

    host: Annotated[str, Meta(description="IPv4 address to listen on.", extra={"unit": "-"}, min_length=7)] = "127.0.0.1"
    port: Annotated[int, Meta(description="TCP port.", extra={"unit": "-"}, ge=1, le=65_535)] = 2404
    public_address: Annotated[
        bool,
        Meta(
            description="Listen on an address that is neither loopback nor private (the protocol knows no passwords).", extra={"unit": "-"}
        ),
    ] = False
    masters: Annotated[
        tuple[str, ...],
        Meta(description="Addresses or networks (10.1.2.0/24) of control systems that may connect; nobody else.", extra={"unit": "-"}),
    ] = ("127.0.0.1",)
    max_masters: Annotated[int, Meta(description="Connections at the same time.", extra={"unit": "-"}, ge=1, le=32)] = 4
    master_absent_s: Annotated[
        float, Meta(description="No control system connected for so long is an alarm.", extra={"unit": "s"}, gt=0)
    ] = 60.0
    confirm_within_s: Annotated[
        float, Meta(description="A command that has no answer by then is confirmed negatively.", extra={"unit": "s"}, gt=0, le=10)
    ] = 0.1
    command_max_age_s: Annotated[
        float,
        Meta(
            description="A command whose time is further than this from our clock is refused, and so is a master's clock.",
            extra={"unit": "s"},
            gt=0,
        ),
    ] = 5.0
    select_within_s: Annotated[float, Meta(description="A selection lapses after this time.", extra={"unit": "s"}, gt=0, le=300)] = 10.0
    tls_certificate: Annotated[str, Meta(description="PEM file of our certificate (IEC 62351-3); empty = no TLS.", extra={"unit": "-"})] = (
        ""
    )
    tls_key: Annotated[str, Meta(description="PEM file of its private key.", extra={"unit": "-"})] = ""
    tls_authority: Annotated[str, Meta(description="PEM file of the authority of the masters' certificates.", extra={"unit": "-"})] = ""
    stations: Annotated[
        tuple[StationSettings, ...], Meta(description="The stations behind the port; none = no outstation.", extra={"unit": "-"})
    ] = ()
