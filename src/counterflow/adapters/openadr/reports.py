"""Reports as an operator asks for them: which value of which payload type, in which unit and sign, from what is known. Pure.

Powers and energies that flow are told in the sign of the program; what is available, and what a storage holds, is a magnitude. An unknown
value is left out, and DATA_QUALITY says so. Every unit is declared in the report, so that nobody has to guess.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from counterflow.adapters.openadr.models import (
    AGGREGATED,
    DATA_QUALITY,
    Interval,
    IntervalPeriod,
    Report,
    ReportDescriptor,
    ReportPayloadDescriptor,
    ReportResource,
    ValuesMap,
)
from counterflow.adapters.openadr.report_figures import SpanFigures
from counterflow.adapters.openadr.report_plan import DueReport
from counterflow.domain.grid import GridUnit, Program, Sign
from counterflow.domain.offers import Offer, OfferLevel
from counterflow.domain.settlement import Quality

STATE = "OPERATING_STATE"
UPWARD = "UP_REGULATION_AVAILABLE"
_DIGITS = 6


class Dimension(StrEnum):
    """What kind of value a payload holds."""

    POWER = "power"
    ENERGY = "energy"
    SHARE = "share"
    TEXT = "text"


_UNITS: Mapping[Dimension, Mapping[str, float]] = {
    Dimension.POWER: {"W": 1.0, "KW": 1e3, "MW": 1e6},
    Dimension.ENERGY: {"WH": 1.0, "KWH": 1e3, "MWH": 1e6},
    Dimension.SHARE: {"PERCENT": 1.0},  # of which the specification says that it goes from -1 to 1
    Dimension.TEXT: {},
}
_Level = Callable[[OfferLevel], float]


class Told(Struct, frozen=True):
    """A payload type that we can tell."""

    dimension: Dimension
    read: Callable[[SpanFigures, ReportDescriptor, float], float | str | None]
    """(what is known, what is asked, confidence 0..1) -> W, Wh or a text; None = unknown."""
    flows: bool = True
    """It has the sign of the program; otherwise it is a magnitude."""
    storage: bool = False
    """It speaks of states of charge, whose quality is not that of the meters."""
    firm: bool = False
    """It depends on the confidence: P50, P90 and P99 stand in reports of their own."""

    def is_firm(self, wish: ReportDescriptor) -> bool:
        """`firm`, or a storage in what is to come."""
        return self.firm or (self.storage and not wish.historical)


def _mean_w(figures: SpanFigures, wish: ReportDescriptor, _confidence: float) -> float | None:
    if not wish.historical:
        return figures.target_power_w
    return figures.peak_power_w if (wish.reading_type or "").upper() == "PEAK" else figures.mean_power_w


def _energy_wh(figures: SpanFigures, wish: ReportDescriptor, _confidence: float) -> float | None:
    if wish.historical:
        return figures.energy_wh
    return None if figures.target_power_w is None else figures.target_power_w * figures.duration_s / 3600.0


def _baseline_w(figures: SpanFigures, _wish: ReportDescriptor, _confidence: float) -> float | None:
    return None if figures.baseline_wh is None else figures.baseline_wh / (figures.duration_s / 3600.0)


def _offered(value: _Level) -> Callable[[SpanFigures, ReportDescriptor, float], float | None]:
    def read(figures: SpanFigures, _wish: ReportDescriptor, confidence: float) -> float | None:
        level = level_of(figures.offer, confidence)
        return None if level is None else value(level)

    return read


def level_of(offer: Offer | None, confidence: float) -> OfferLevel | None:
    """The level of an offer at a confidence; None = it is not among them."""
    levels = () if offer is None else offer.levels
    return next((level for level in levels if abs(level.confidence - confidence) < 1e-6), None)


def _shed_w(figures: SpanFigures, _wish: ReportDescriptor, _confidence: float) -> float | None:
    """What charges now can be left: known for the interval around now alone."""
    live = figures.live
    return None if live is None or live.measured_power_w is None else max(0.0, -live.measured_power_w)


def _up_w(figures: SpanFigures, wish: ReportDescriptor, confidence: float) -> float | None:
    level = level_of(figures.upward or figures.offer, confidence)
    if level is not None:
        return level.power_w
    return figures.live.up_power_w if figures.live is not None and wish.historical else None


def _down_w(figures: SpanFigures, _wish: ReportDescriptor, _confidence: float) -> float | None:
    return None if figures.live is None else figures.live.down_power_w


def _charge_level(figures: SpanFigures, wish: ReportDescriptor, confidence: float) -> float | None:
    """Share of what the pool's batteries hold when full; of those whose state of charge is known. Of what is to come what is sure."""
    if not wish.historical:
        level = level_of(figures.offer, confidence)
        return None if level is None else level.charge_level_frac
    seen = figures.at_end
    if seen is None or seen.stored_energy_wh is None or not seen.storage_capacity_wh:
        return None
    return seen.stored_energy_wh / seen.storage_capacity_wh


def _max_charge_w(figures: SpanFigures, wish: ReportDescriptor, confidence: float) -> float | None:
    if not wish.historical:
        level = level_of(figures.offer, confidence)
        return None if level is None else level.max_charge_power_w
    return None if figures.at_end is None else figures.at_end.max_charge_power_w


PAYLOADS: Mapping[str, Told] = {
    "DEMAND": Told(Dimension.POWER, _mean_w),
    "READING": Told(Dimension.POWER, _mean_w),
    "USAGE": Told(Dimension.ENERGY, _energy_wh),
    "USAGE_FORECAST": Told(Dimension.ENERGY, _energy_wh),
    "DELTA_USAGE": Told(Dimension.ENERGY, lambda figures, _wish, _confidence: figures.delivered_wh),
    "BASELINE": Told(Dimension.POWER, _baseline_w),
    "SETPOINT": Told(Dimension.POWER, lambda figures, _wish, _confidence: figures.target_power_w),
    STATE: Told(Dimension.TEXT, lambda figures, _wish, _confidence: figures.state),
    DATA_QUALITY: Told(Dimension.TEXT, lambda _figures, _wish, _confidence: None),  # `_payloads` says it, of the others
    "GENERATION_DELTA_AVAILABLE": Told(Dimension.POWER, _offered(lambda level: level.power_w), flows=False, firm=True),
    "LOAD_SHED_DELTA_AVAILABLE": Told(Dimension.POWER, _shed_w, flows=False),
    UPWARD: Told(Dimension.POWER, _up_w, flows=False, firm=True),
    "DOWN_REGULATION_AVAILABLE": Told(Dimension.POWER, _down_w, flows=False),
    "STORAGE_USABLE_CAPACITY": Told(Dimension.ENERGY, _offered(lambda level: level.deliverable_energy_wh), flows=False, firm=True),
    "STORAGE_CHARGE_LEVEL": Told(Dimension.SHARE, _charge_level, flows=False, storage=True),
    "STORAGE_MAX_CHARGE_POWER": Told(Dimension.POWER, _max_charge_w, flows=False, storage=True),
    "STORAGE_MAX_DISCHARGE_POWER": Told(Dimension.POWER, _offered(lambda level: level.power_w), flows=False, firm=True),
    "STORAGE_DISPATCH_FORECAST": Told(Dimension.ENERGY, _offered(lambda level: level.deliverable_energy_wh), flows=False, firm=True),
}
"""What we can tell."""
STORAGE = frozenset(kind for kind, told in PAYLOADS.items() if told.storage)

_MEASURED = frozenset({"DEMAND", "READING", "USAGE", "DELTA_USAGE", "BASELINE"})


def data_quality(figures: SpanFigures) -> str:
    """DATA_QUALITY of what was measured: BAD where a value is there and part of it is known to be missing."""
    if figures.quality is Quality.GOOD:
        return "OK"
    if figures.quality is Quality.MISSING:
        return "MISSING" if figures.mean_power_w is None and figures.target_power_w is None else "BAD"
    return "ESTIMATED"


def needs_offers(due: DueReport) -> bool:
    """Some payload of it depends on what can surely be given."""
    return any(one.payload_type in PAYLOADS and PAYLOADS[one.payload_type].is_firm(one) for one in due.descriptors)


def can_tell(wish: ReportDescriptor) -> bool:
    """We know the payload type; a READING is one of power for us, and not of volts."""
    told = PAYLOADS.get(wish.payload_type)
    units = (wish.units or "").strip().upper()
    return told is not None and (wish.payload_type != "READING" or units in ("", *_UNITS[told.dimension]))


def cannot_tell(descriptors: Sequence[ReportDescriptor]) -> list[str]:
    """Payload types that are asked for and that we know nothing of."""
    return sorted({one.payload_type for one in descriptors if not can_tell(one)})


class Author(Struct, frozen=True, kw_only=True):
    """Who reports, and how its values are meant."""

    event_id: str
    program_id: str
    client_name: str
    program: Program
    resource_name: str = AGGREGATED
    """How our pool is called where no aggregate is asked for."""
    meter_accuracy_frac: float | None = None
    """Class of the stations' meters, told as `accuracy`; None = not told."""
    charge_level_in_percent: bool = False
    """STORAGE_CHARGE_LEVEL goes to 100, and not to 1."""


def report_of(due: DueReport, figures: Sequence[SpanFigures], author: Author, confidence: float | None = None) -> Report | None:
    """The report, or None if it would say nothing. `confidence` 0..1: of the values that depend on it; None: of all others.

    Where DATA_QUALITY is asked for it says something even of values that are all unknown.
    """
    told = [(one, PAYLOADS[one.payload_type]) for one in due.descriptors if can_tell(one)]
    told = [(one, payload) for one, payload in told if payload.is_firm(one) == (confidence is not None) or one.payload_type == DATA_QUALITY]
    columns = [_Column(one, payload, *_unit(one, payload, author)) for one, payload in told]
    rows = [_payloads(columns, one, author.program, confidence) for one in figures]
    asked = any(column.wish.payload_type == DATA_QUALITY for column in columns)
    of_others = all(column.wish.payload_type == DATA_QUALITY for column in columns) and any(
        wish.payload_type != DATA_QUALITY for wish in due.descriptors
    )  # what it would tell the quality of stands in other reports, or is not told at all
    if of_others or not (asked or any(value.type != DATA_QUALITY for row in rows for value in row)):
        return None
    suffix = "" if confidence is None else f"/P{round(100.0 * confidence)}"
    aggregate = due.descriptors[0].aggregate or author.resource_name == AGGREGATED
    return Report(
        event_id=author.event_id,
        program_id=author.program_id,
        client_name=author.client_name,
        report_name=due.name + suffix,
        payload_descriptors=tuple(_descriptor(column, rows, author, confidence) for column in _with_quality(columns, rows)),
        resources=(
            ReportResource(
                resource_name=AGGREGATED if aggregate else author.resource_name,
                interval_period=IntervalPeriod(start_s=figures[0].from_s, duration_s=figures[0].duration_s),
                intervals=tuple(
                    Interval(id=one.interval_id, interval_period=_own_period(figures, number), payloads=tuple(rows[number]))
                    for number, one in enumerate(figures)
                ),
            ),
        ),
    )


class _Column(Struct, frozen=True):
    wish: ReportDescriptor
    told: Told
    unit: str
    in_unit: float


def _unit(wish: ReportDescriptor, told: Told, author: Author) -> tuple[str, float]:
    """The unit that is asked for, if it is one of the kind; otherwise that of the program, and the report says which."""
    if told.dimension is Dimension.SHARE:
        return "PERCENT", 0.01 if author.charge_level_in_percent else 1.0
    known = _UNITS[told.dimension]
    asked = (wish.units or "").strip().upper()
    if wish.payload_type == "BASELINE" and asked in _UNITS[Dimension.ENERGY]:
        return asked, _UNITS[Dimension.ENERGY][asked]
    if asked in known:
        return asked, known[asked]
    default = (author.program.unit or GridUnit.KW).upper() + ("H" if told.dimension is Dimension.ENERGY else "")
    return (default, known[default]) if known else ("", 1.0)


def _payloads(columns: Sequence[_Column], figures: SpanFigures, program: Program, confidence: float | None) -> list[ValuesMap]:
    """The values of one interval; where one is missing or not sure, DATA_QUALITY is added, asked for or not."""
    found: list[ValuesMap] = []
    left_out = False
    for column in columns:
        if column.wish.payload_type == DATA_QUALITY:
            continue
        value = column.told.read(figures, column.wish, confidence or 0.0)
        if value is None:
            left_out = True
        else:
            found.append(ValuesMap(type=column.wish.payload_type, values=(_written(value, column, figures, program),)))
    asked = any(column.wish.payload_type == DATA_QUALITY for column in columns)
    measured = confidence is None and any(column.wish.historical and column.wish.payload_type in _MEASURED for column in columns)
    alone = all(column.wish.payload_type == DATA_QUALITY for column in columns)  # of what the meters of the pool tell
    quality = data_quality(figures) if alone or (found and measured) else "OK" if found else "MISSING"
    if quality == "OK" and any(one.type in STORAGE for one in found) and not _storage_is_good(figures, confidence):
        quality = "ESTIMATED"
    if asked or left_out or quality != "OK":
        found.append(ValuesMap(type=DATA_QUALITY, values=(quality,)))
    return found


def _storage_is_good(figures: SpanFigures, confidence: float | None) -> bool:
    """The states of charge are known that it speaks of; of what is to come those of all cars."""
    if confidence is not None:
        level = level_of(figures.offer, confidence)
        return level is not None and not level.storage_unknown_sessions
    return figures.at_end is not None and figures.at_end.storage_quality is Quality.GOOD


def _written(value: float | str, column: _Column, figures: SpanFigures, program: Program) -> float | str:
    if isinstance(value, str):
        return value
    if column.wish.payload_type == "BASELINE" and column.unit in _UNITS[Dimension.ENERGY]:
        value *= figures.duration_s / 3600.0
    turned = -value if column.told.flows and program.sign is Sign.LOAD else value
    return round(turned / column.in_unit, _DIGITS) + 0.0


def _with_quality(columns: Sequence[_Column], rows: Sequence[Sequence[ValuesMap]]) -> list[_Column]:
    """The columns, and one for DATA_QUALITY where it was added."""
    told = any(value.type == DATA_QUALITY for row in rows for value in row)
    if not told or any(column.wish.payload_type == DATA_QUALITY for column in columns):
        return list(columns)
    return [*columns, _Column(ReportDescriptor(payload_type=DATA_QUALITY), PAYLOADS[DATA_QUALITY], "", 1.0)]


def _descriptor(column: _Column, rows: Sequence[Sequence[ValuesMap]], author: Author, confidence: float | None) -> ReportPayloadDescriptor:
    if column.told.dimension is Dimension.TEXT:
        return ReportPayloadDescriptor(payload_type=column.wish.payload_type)
    reading = column.wish.reading_type
    if not column.wish.historical:
        reading = "FORECAST"
    elif reading is None:
        reading = "ESTIMATED" if column.told.storage else "SUMMED" if column.told.dimension is Dimension.ENERGY else "MEAN"
    return ReportPayloadDescriptor(
        payload_type=column.wish.payload_type,
        reading_type=reading,
        units=column.unit,
        accuracy=_accuracy(column, rows, author) if column.wish.historical else None,
        confidence=round(100.0 * confidence) if confidence is not None and column.told.is_firm(column.wish) else None,
    )


def _accuracy(column: _Column, rows: Sequence[Sequence[ValuesMap]], author: Author) -> float | None:
    """Of what is measured: the class of the meters, at the greatest value of the report."""
    if author.meter_accuracy_frac is None or column.wish.payload_type not in _MEASURED - {"BASELINE"}:
        return None
    values = [value.values[0] for row in rows for value in row if value.type == column.wish.payload_type]
    return round(author.meter_accuracy_frac * max((abs(one) for one in values if isinstance(one, float | int)), default=0.0), _DIGITS)


def _own_period(figures: Sequence[SpanFigures], number: int) -> IntervalPeriod | None:
    """None where the interval follows from the first one's period, as intervals do (User Guide §7)."""
    first, one = figures[0], figures[number]
    expected_s = first.from_s + number * first.duration_s
    if abs(one.from_s - expected_s) < 1e-3 and abs(one.duration_s - first.duration_s) < 1e-3:
        return None
    return IntervalPeriod(start_s=one.from_s, duration_s=one.duration_s)
