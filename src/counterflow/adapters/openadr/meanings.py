"""What the payloads of an event ask of our cars, turned into W of discharge; what we cannot do is said in a sentence, never guessed.

Values come in the sign and unit of the program (grid.md §1.3): the unit stands in the descriptor of the event, else of the program, else
in our settings of the program.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import inf, isfinite

from msgspec import Struct

from counterflow.adapters.openadr.charge_state import ChargePlans, ChargeTarget
from counterflow.adapters.openadr.models import Event, EventPayloadDescriptor
from counterflow.adapters.openadr.models import Program as OperatorsProgram
from counterflow.adapters.openadr.timeline import Course, Piece, UnclearError
from counterflow.domain.grid import WATTS, GridUnit, Program, discharge_power_w_of
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.units import format_power

SETPOINT = "DISPATCH_SETPOINT"
RELATIVE = "DISPATCH_SETPOINT_RELATIVE"
CHARGE_STATE = "CHARGE_STATE_SETPOINT"
EXPORT_LIMIT, IMPORT_LIMIT = "EXPORT_CAPACITY_LIMIT", "IMPORT_CAPACITY_LIMIT"
SIMPLE = "SIMPLE"
ALERT = "ALERT_"
LEVELS = 3
"""Of SIMPLE above 0 = normal."""

_POWER_UNITS = {"W": GridUnit.W, "KW": GridUnit.KW, "MW": GridUnit.MW}
_ENERGY_UNITS = {"WH": 1.0, "KWH": 1e3, "MWH": 1e6}
_SHARE_UNIT = "PERCENT"


class Setpoint(Struct, frozen=True):
    """From `from_s` to `to_s` a discharge power is asked, >= 0 W; `mode` None = as the program says."""

    from_s: float
    to_s: float
    discharge_power_w: float
    mode: DispatchMode | None


class CapacityWindow(Struct, frozen=True):
    """From `from_s` to `to_s` the sites of the pool together export, or import, no more than this, W >= 0; inf = no limit."""

    from_s: float
    to_s: float
    max_export_w: float = inf
    max_import_w: float = inf


class Alert(Struct, frozen=True):
    """Something that people must know while it lasts."""

    from_s: float
    to_s: float
    sentence: str


class Meaning(Struct, frozen=True):
    """All that an event asks for. `refused` says why nothing of it is done; alerts stand even then."""

    setpoints: tuple[Setpoint, ...] = ()
    limits: tuple[CapacityWindow, ...] = ()
    alerts: tuple[Alert, ...] = ()
    passed_over: frozenset[str] = frozenset()
    """Payload types that are not for us."""
    refused: str = ""
    remark: str = ""
    """What cannot be promised beside what is done, in a sentence."""


def meaning_of(
    event: Event,
    course: Course,
    operators: OperatorsProgram | None,
    program: Program,
    simple_w: Sequence[float] = (),
    plans: ChargePlans | None = None,
) -> Meaning:
    """What `course` asks under `program`. `simple_w` is what the levels 1, 2, 3 of SIMPLE ask, W away from the plan; empty = not agreed.

    `plans` knows what pools hold, for states of charge.
    """
    alerts = tuple(_alerts(event, course))
    passed_over = frozenset(kind for kind in course.pieces if not _known(kind))
    try:
        limits = tuple(_limits(event, course, operators, program))
        setpoints = _setpoints(event, course, operators, program, simple_w)
        charge, short = _charged(event, course, operators, program, plans)
    except UnclearError as unclear:
        return Meaning(alerts=alerts, passed_over=passed_over, refused=str(unclear))
    if short and not setpoints and not limits:
        return Meaning(alerts=alerts, passed_over=passed_over, refused=short)
    both = tuple(setpoint for _, setpoint in layered((setpoints, charge))) if charge else setpoints
    return Meaning(both, limits, alerts, passed_over, remark=short)


def unit_of(kind: str, event: Event, operators: OperatorsProgram | None, program: Program) -> GridUnit:
    """The unit of power of a payload type's values. Raises `UnclearError` for a unit that is none of power, or none at all."""
    told = _units(kind, event.payload_descriptors) or _units(kind, operators.payload_descriptors if operators is not None else ())
    if told:
        unit = _POWER_UNITS.get(told.strip().upper())
        if unit is None:
            raise UnclearError(f"{kind} comes in {told!r}, and this program understands W, KW and MW.")
        return unit
    if program.unit is None:
        raise UnclearError(f"Neither the event nor its program says the unit of {kind}, and no unit is set for program '{program.name}'.")
    return program.unit


def _units(kind: str, descriptors: Iterable[object]) -> str:
    mine = (one for one in descriptors if isinstance(one, EventPayloadDescriptor) and one.payload_type == kind)
    return next((one.units for one in mine if one.units), "")


def _known(kind: str) -> bool:
    return kind in (SETPOINT, RELATIVE, CHARGE_STATE, EXPORT_LIMIT, IMPORT_LIMIT, SIMPLE) or kind.startswith(ALERT)


def _setpoints(
    event: Event, course: Course, operators: OperatorsProgram | None, program: Program, simple_w: Sequence[float]
) -> tuple[Setpoint, ...]:
    absolute = tuple(_dispatched(SETPOINT, None, event, course, operators, program))
    relative = tuple(_dispatched(RELATIVE, DispatchMode.RELATIVE, event, course, operators, program))
    if any(one.from_s < other.to_s and other.from_s < one.to_s for one in absolute for other in relative):
        raise UnclearError(f"The event asks for {SETPOINT} and {RELATIVE} at the same time.")
    dispatched = tuple(sorted((*absolute, *relative), key=lambda setpoint: setpoint.from_s))
    levels = tuple(_leveled(course, simple_w))
    return tuple(setpoint for _, setpoint in layered((dispatched, levels)))


def _dispatched(
    kind: str, mode: DispatchMode | None, event: Event, course: Course, operators: OperatorsProgram | None, program: Program
) -> Iterator[Setpoint]:
    pieces = course.pieces.get(kind, ())
    if not pieces:
        return
    if program.sign is None:
        raise UnclearError(f"{kind} cannot be read: no sign is set for program '{program.name}' (load or generator).")
    unit = unit_of(kind, event, operators, program)
    for piece in pieces:
        power_w = discharge_power_w_of(_number(kind, piece), program.sign, unit)
        if power_w < 0.0:
            raise UnclearError(
                f"Interval {piece.interval_id} asks for {format_power(-power_w)} of additional consumption, and cars cannot be made to "
                f"charge more (the program's sign is '{program.sign}')."
            )
        yield Setpoint(piece.from_s, piece.to_s, power_w, mode)


def _leveled(course: Course, simple_w: Sequence[float]) -> Iterator[Setpoint]:
    for piece in course.pieces.get(SIMPLE, ()):
        level = _number(SIMPLE, piece)
        if level not in range(LEVELS + 1):
            raise UnclearError(f"Interval {piece.interval_id} asks for level {level:g} of {SIMPLE}, and there are 0 to {LEVELS}.")
        if level == 0:
            continue
        if not simple_w:
            raise UnclearError(f"The event asks for level {level:g} of {SIMPLE}, and what that means is not set (simple_power_w).")
        yield Setpoint(piece.from_s, piece.to_s, simple_w[int(level) - 1], DispatchMode.RELATIVE)


def _charged(
    event: Event, course: Course, operators: OperatorsProgram | None, program: Program, plans: ChargePlans | None
) -> tuple[tuple[Setpoint, ...], str]:
    """What is discharged for the state of charge that is asked now, and why it cannot be. One that is to come is seen to when it comes."""
    targets = tuple(_charge_targets(event, course, operators, program, in_percent=plans is not None and plans.in_percent))
    found = [] if plans is None else [plan for target in targets if (plan := plans.of(event.id, program.pool, target)) is not None]
    refused = next((plan.refused for plan in found if plan.refused), "")
    if refused:
        return (), refused
    return tuple(Setpoint(plan.made_at_s, plan.target.to_s, plan.discharge_power_w, DispatchMode.NET_EXPORT) for plan in found), ""


def _charge_targets(
    event: Event, course: Course, operators: OperatorsProgram | None, program: Program, *, in_percent: bool
) -> Iterator[ChargeTarget]:
    pieces = course.pieces.get(CHARGE_STATE, ())
    if not pieces:
        return
    told = _units(CHARGE_STATE, event.payload_descriptors) or _units(
        CHARGE_STATE, operators.payload_descriptors if operators is not None else ()
    )
    unit = told.strip().upper()
    if unit != _SHARE_UNIT and unit not in _ENERGY_UNITS:
        raise UnclearError(f"{CHARGE_STATE} comes in {told!r}, and program '{program.name}' understands PERCENT, WH, KWH and MWH.")
    most = 100.0 if in_percent else 1.0
    for piece in pieces:
        value = _number(CHARGE_STATE, piece)
        if value < 0.0 or (unit == _SHARE_UNIT and value > most):
            goes = f", which goes from 0 to {most:g} (reports.charge_level_in_percent)" if unit == _SHARE_UNIT else ""
            raise UnclearError(f"Interval {piece.interval_id} asks for a {CHARGE_STATE} of {value:g} {unit}{goes}.")
        if not isfinite(piece.to_s):
            raise UnclearError(f"Interval {piece.interval_id} has no end by which the {CHARGE_STATE} is to be reached.")
        if unit == _SHARE_UNIT:
            yield ChargeTarget(piece.from_s, piece.to_s, share=value / most)
        else:
            yield ChargeTarget(piece.from_s, piece.to_s, energy_wh=value * _ENERGY_UNITS[unit])


def _limits(event: Event, course: Course, operators: OperatorsProgram | None, program: Program) -> Iterator[CapacityWindow]:
    for kind, side in ((EXPORT_LIMIT, "max_export_w"), (IMPORT_LIMIT, "max_import_w")):
        for piece in course.pieces.get(kind, ()):
            limit_w = _number(kind, piece) * WATTS[unit_of(kind, event, operators, program)]
            if limit_w < 0.0:
                raise UnclearError(f"Interval {piece.interval_id} sets {kind} to {limit_w:g} W; a limit is zero or more.")
            yield CapacityWindow(piece.from_s, piece.to_s, **{side: limit_w})


def _alerts(event: Event, course: Course) -> Iterator[Alert]:
    named = event.event_name or event.id
    for kind, pieces in course.pieces.items():
        if kind.startswith(ALERT):
            for piece in pieces:
                said = f": {piece.value}" if isinstance(piece.value, str) and piece.value.strip() else ""
                yield Alert(piece.from_s, piece.to_s, f"The grid operator says {kind} (event '{named}'){said[:500]}.")


def _number(kind: str, piece: Piece) -> float:
    value = piece.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise UnclearError(f"Interval {piece.interval_id} holds {str(value)[:40]!r} as {kind}, which is no number.")
    return float(value)


def layered(layers: Sequence[Sequence[Setpoint]]) -> list[tuple[int, Setpoint]]:
    """What holds when several layers ask, each in the order of time and without overlap: at every instant the first layer that asks.

    Returns layer and set-point in the order of time; neighbours that say the same are one.
    """
    edges = sorted({edge for layer in layers for setpoint in layer for edge in (setpoint.from_s, setpoint.to_s)})
    at = [0] * len(layers)
    found: list[tuple[int, Setpoint]] = []
    for from_s, to_s in pairwise(edges):
        for number, layer in enumerate(layers):
            while at[number] < len(layer) and layer[at[number]].to_s <= from_s:
                at[number] += 1
            if at[number] < len(layer) and layer[at[number]].from_s <= from_s:
                holds = layer[at[number]]
                before = found[-1] if found else None
                if (
                    before is not None
                    and before[0] == number
                    and before[1].to_s == from_s
                    and (before[1].discharge_power_w, before[1].mode) == (holds.discharge_power_w, holds.mode)
                ):
                    from_s = before[1].from_s
                    found.pop()
                found.append((number, Setpoint(from_s, to_s, holds.discharge_power_w, holds.mode)))
                break
    return found
