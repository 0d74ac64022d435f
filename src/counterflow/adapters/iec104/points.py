"""The point list: what is shown at which address, in which unit, and how far it can be trusted (quality descriptor QDS)."""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, IntFlag, StrEnum
from typing import NamedTuple

from msgspec import Struct

from counterflow.adapters.iec104.settings import PointAddresses, StationSettings
from counterflow.domain.grid import WATTS, GridUnit, PoolTelemetry, Program, Quality, Sign, value_of


class Qds(IntFlag):
    """Quality descriptor (IEC 60870-5-101, 7.2.6.3)."""

    GOOD = 0
    OVERFLOW = 0x01
    BLOCKED = 0x10
    SUBSTITUTED = 0x20
    NOT_TOPICAL = 0x40
    INVALID = 0x80


UNKNOWN = Qds.INVALID | Qds.NOT_TOPICAL
QDS: Mapping[Quality, Qds] = {
    Quality.GOOD: Qds.GOOD,
    Quality.STALE: Qds.NOT_TOPICAL,
    Quality.ESTIMATED: Qds.SUBSTITUTED,
    Quality.MISSING: UNKNOWN,
}
"""What freshness means in bits."""


class PointType(StrEnum):
    """ASDU types of what is shown."""

    MEASURED = "M_ME_TF_1"
    """Type 36: short floating point number with CP56Time2a."""
    SINGLE = "M_SP_TB_1"
    """Type 30: single point with CP56Time2a."""


class Dimension(Enum):
    """What a point is an amount of."""

    POWER = "power"
    """Signed as the program says."""
    AMOUNT = "amount of power"
    """Never negative, whatever the program's sign."""
    ENERGY = "energy"
    RAMP = "ramp"
    MINUTES = "minutes"
    SECONDS = "seconds"
    COUNT = "count"
    FLAG = "flag"


class Look(Struct, frozen=True):
    """What the points are read from at one instant."""

    telemetry: PoolTelemetry
    setpoint_w: float | None
    """Discharge power that was taken last, and is in force."""
    heartbeat: bool
    source_silent: bool


class Point(Struct, frozen=True):
    """One row of the point list. `read` gives W, Wh, W/s, s, a number or a truth; None = unknown."""

    name: str
    words: str
    dimension: Dimension
    read: Callable[[Look], float | bool | None]
    metered: bool = False
    """Its quality is that of the meters."""


class Reading(NamedTuple):
    """What one point shows."""

    address: int
    type: PointType
    value: float
    """In the program's unit and sign; 0.0 or 1.0 of a single point."""
    qds: Qds
    deadband: float
    """It is sent at once when it has moved by more than this."""


def _of(name: str) -> Callable[[Look], float | bool | None]:
    def read(look: Look) -> float | bool | None:
        value: float | bool | None = getattr(look.telemetry, name)
        return value

    return read


def _up_endurance_s(look: Look) -> float | None:
    """How long the firm energy lasts at the firm power."""
    power_w, energy_wh = look.telemetry.up_power_w, look.telemetry.up_energy_wh
    return None if energy_wh is None or power_w is None or power_w <= 0.0 else energy_wh / power_w * 3600.0


POINTS: Sequence[Point] = (
    Point("setpoint", "set-point in force (echo)", Dimension.POWER, lambda look: look.setpoint_w),
    Point("measured_power", "power of the pool", Dimension.POWER, _of("measured_power_w"), metered=True),
    Point("baseline_power", "baseline", Dimension.POWER, _of("baseline_power_w")),
    Point("delivered_power", "delivered: power less baseline", Dimension.POWER, _of("delivered_power_w"), metered=True),
    Point("up_power", "more discharge, firm (P90)", Dimension.AMOUNT, _of("up_power_w")),
    Point("down_power", "less discharge or more charging", Dimension.AMOUNT, _of("down_power_w")),
    Point("up_energy", "energy, firm (P90)", Dimension.ENERGY, _of("up_energy_wh")),
    Point("up_endurance", "endurance at the firm power", Dimension.MINUTES, _up_endurance_s),
    Point("ramp", "ramp of the pool, up and down", Dimension.RAMP, _of("ramp_w_per_s")),
    Point("sessions", "connected cars", Dimension.COUNT, _of("sessions")),
    Point("sessions_ready", "cars that can be discharged", Dimension.COUNT, _of("sessions_ready")),
    Point("committed_power", "power committed to the dispatch", Dimension.AMOUNT, _of("committed_power_w")),
    Point("meter_age", "age of the oldest meter value", Dimension.SECONDS, _of("meter_age_s")),
    Point("target_power", "target: set-point, ramped", Dimension.POWER, _of("target_power_w")),
    Point("available", "available for dispatch", Dimension.FLAG, _of("available")),
    Point("following", "set-point followed", Dimension.FLAG, _of("following")),
    Point("fault", "local fault", Dimension.FLAG, _of("fault")),
    Point("heartbeat", "heartbeat, toggles with every cycle", Dimension.FLAG, lambda look: look.heartbeat),
    Point("source_silent", "no set-point for too long", Dimension.FLAG, lambda look: look.source_silent),
)


class Scale(NamedTuple):
    """How amounts of one dimension are written for a program: `unit`, how many of ours are one of its, and the dead-band in its unit."""

    unit: str
    one: float
    deadband: float


def scale_of(dimension: Dimension, unit: GridUnit, max_power_w: float, deadband_frac: float) -> Scale:
    """Units follow that of the program's powers: MW, MWh and MW/min of one in MW."""
    watts = WATTS[unit]
    band = deadband_frac * max_power_w / watts
    match dimension:
        case Dimension.POWER | Dimension.AMOUNT:
            return Scale(unit.value, watts, band)
        case Dimension.ENERGY:
            return Scale(f"{unit.value}h", watts, band)
        case Dimension.RAMP:
            return Scale(f"{unit.value}/min", watts / 60.0, band)
        case Dimension.MINUTES:
            return Scale("min", 60.0, 1.0)
        case Dimension.SECONDS:
            return Scale("s", 1.0, 5.0)
        case Dimension.COUNT | Dimension.FLAG:
            return Scale("-", 1.0, 0.0)


def address_of(point: Point, addresses: PointAddresses) -> int:
    """Where a point is shown; 0 = nowhere."""
    address: int = getattr(addresses, point.name)
    return address


def in_a_row(addresses: Sequence[int]) -> bool:
    """c104 sends such addresses as a sequence (SQ = 1), which types with a time tag must not be (IEC 60870-5-101, 7.3.1)."""
    return all(address == first for first, address in enumerate(sorted(addresses), start=min(addresses)))


def type_of(point: Point) -> PointType:
    """Single points are flags, all others are measured values."""
    return PointType.SINGLE if point.dimension is Dimension.FLAG else PointType.MEASURED


def readings(look: Look, program: Program, station: StationSettings) -> list[Reading]:
    """What every point of a station shows, by address. An unknown value is zero with the bits IV and NT set."""
    assert program.sign is not None, "a program without a sign is not opened"
    assert program.unit is not None, "a program without a unit is not opened"
    found = []
    for point in POINTS:
        address = address_of(point, station.points)
        if address == 0:
            continue
        scale = scale_of(point.dimension, program.unit, program.max_discharge_power_w, station.deadband_frac)
        value = point.read(look)
        qds = QDS[look.telemetry.quality] if point.metered else Qds.GOOD
        if value is None:
            shown, qds = 0.0, UNKNOWN
        elif point.dimension is Dimension.POWER:
            shown = value_of(float(value), program.sign, program.unit)
        else:
            shown = float(value) / scale.one
        found.append(Reading(address, type_of(point), shown, qds, scale.deadband))
    return sorted(found)


class PointRow(Struct, frozen=True, kw_only=True):
    """One line of the list that an integrator hands to the operator."""

    common_address: int
    address: int
    direction: str
    """`command` to us, `monitor` from us."""
    type: str
    type_number: int
    point: str
    unit: str
    positive: str
    """What a positive value means, of signed points."""
    note: str


_TYPE_NUMBERS = {"M_SP_TB_1": 30, "M_ME_TF_1": 36, "C_SE_NC_1": 50, "C_SE_TC_1": 63}


def point_list(program: Program, station: StationSettings) -> list[PointRow]:
    """The list of one station, by address."""
    assert program.unit is not None, "a program without a unit is not opened"
    positive = "consumption" if program.sign is Sign.LOAD else "export to the grid"
    rows = [
        PointRow(
            common_address=station.common_address,
            address=setpoint.address,
            direction="command",
            type=setpoint.type.value,
            type_number=_TYPE_NUMBERS[setpoint.type.value],
            point="set-point",
            unit=program.unit.value,
            note=f"{setpoint.mode.value}, up to {program.max_discharge_power_w / WATTS[program.unit]:g} {program.unit.value}",
            positive=positive,
        )
        for setpoint in station.setpoints
    ]
    for point in POINTS:
        scale = scale_of(point.dimension, program.unit, program.max_discharge_power_w, station.deadband_frac)
        if address := address_of(point, station.points):
            rows.append(
                PointRow(
                    common_address=station.common_address,
                    address=address,
                    direction="monitor",
                    type=type_of(point).value,
                    type_number=_TYPE_NUMBERS[type_of(point).value],
                    point=point.words,
                    unit=scale.unit,
                    note="",
                    positive=positive if point.dimension is Dimension.POWER else "",
                )
            )
    return sorted(rows, key=lambda row: row.address)
