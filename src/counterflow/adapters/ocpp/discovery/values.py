"""What a station has said of its device model so far, and how its texts are read. Unknown is None, never a default."""

from collections.abc import Iterable, Sequence
from math import isfinite

from msgspec import UNSET, Struct

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp.discovery.variables import Place, Variable, at_evse, is_of_use, key_of, place_of
from counterflow.domain.ids import EvseId
from counterflow.domain.station_settings import WHOLE_STATION
from counterflow.domain.units import parse_instant_s

_ATTRIBUTES = ("Actual", "Target", "MinSet", "MaxSet")


class Characteristics(Struct, frozen=True, gc=False):
    """What only a report says of a variable."""

    values_list: frozenset[str] | None
    max_limit: float | None


class DeviceModel:
    """Values and characteristics by place; only of variables that discovery knows, so that a talkative station costs nothing."""

    __slots__ = ("_characteristics", "_values", "evse_ids")

    def __init__(self) -> None:
        self._values: dict[tuple[Place, str], str] = {}
        self._characteristics: dict[Place, Characteristics] = {}
        self.evse_ids: set[EvseId] = set()
        """EVSEs that reports have named."""

    def __len__(self) -> int:
        return len(self._values)

    # ---- keeping

    def keep_results(self, batch: Sequence[Variable], results: Sequence[ocpp.GetVariableResultType]) -> list[Variable]:
        """By name; by place in the list where the names do not fit (some stations leave out the EVSE). Returns what has no result.

        An accepted value that is absent is the empty text: the schema has no other way for an empty list that some encoders take.
        """
        by_name = {(place_of(result.component, result.variable), _attribute(result.attribute_type)): result for result in results}
        missing = []
        for number, variable in enumerate(batch):
            result = by_name.get(key_of(variable))
            if result is None and len(results) == len(batch) and results[number].variable.name.casefold() == variable.name.casefold():
                result = results[number]
            if result is None:
                missing.append(variable)
            elif result.attribute_status == "Accepted":
                self.put(variable, "" if result.attribute_value is UNSET else result.attribute_value)
        return missing

    def keep_report(self, entries: Iterable[ocpp.ReportDataType]) -> None:
        """A part of a report."""
        for entry in entries:
            place = place_of(entry.component, entry.variable)
            if place[3] > 0:
                self.evse_ids.add(EvseId(place[3]))
            if not is_of_use(place):
                continue
            for attribute in entry.variable_attribute:
                if attribute.value is not UNSET and attribute.mutability != "WriteOnly":
                    self._values[place, _attribute(attribute.type)] = attribute.value
            said = entry.variable_characteristics
            if said is not UNSET:
                self._characteristics[place] = Characteristics(
                    values_list=None if said.values_list is UNSET else members(said.values_list),
                    max_limit=None if said.max_limit is UNSET or not isfinite(said.max_limit) else float(said.max_limit),
                )

    def put(self, variable: Variable, value: str) -> None:
        """A value is so now."""
        self._values[key_of(variable)] = value

    # ---- reading

    def at(self, variable: Variable) -> str | None:
        """The value of exactly this variable."""
        return self._values.get(key_of(variable))

    def exists(self, variable: Variable) -> bool:
        """Has any value of exactly this variable been read?"""
        place, _ = key_of(variable)
        return (place, "Actual") in self._values or (place, "MaxSet") in self._values

    def text(self, variable: Variable, evse_id: EvseId) -> str | None:
        """The value for an EVSE: its own, else that of the station."""
        own = self.at(at_evse(variable, evse_id))
        return self.at(variable) if own is None else own

    def flag(self, variable: Variable, evse_id: EvseId = WHOLE_STATION) -> bool | None:
        """True or false, as the EVSE or station says."""
        return any_flag([self.text(variable, evse_id)])

    def number(self, variable: Variable, evse_id: EvseId = WHOLE_STATION) -> float | None:
        """A finite number."""
        return number(self.text(variable, evse_id))

    def whole(self, variable: Variable, evse_id: EvseId = WHOLE_STATION) -> int | None:
        """A whole number that is not negative."""
        value = self.number(variable, evse_id)
        return None if value is None or value < 0.0 else int(value)

    def names(self, variable: Variable, evse_id: EvseId = WHOLE_STATION) -> tuple[str, ...]:
        """The members of a list."""
        return names(self.text(variable, evse_id))

    def instant(self, variable: Variable, evse_id: EvseId = WHOLE_STATION) -> float | None:
        """Epoch seconds."""
        value = self.text(variable, evse_id)
        try:
            return None if not value else parse_instant_s(value)
        except ValueError:
            return None

    def max_limit(self, variable: Variable, evse_id: EvseId = WHOLE_STATION) -> float | None:
        """The limit in the characteristics, of the EVSE's variable or the station's."""
        for place, _ in (key_of(at_evse(variable, evse_id)), key_of(variable)):
            said = self._characteristics.get(place)
            if said is not None and said.max_limit is not None:
                return said.max_limit
        return None

    def values_list(self, variable: Variable) -> frozenset[str] | None:
        """The values that exactly this variable takes, without case."""
        said = self._characteristics.get(variable.place())
        return None if said is None else said.values_list

    def has_characteristics(self, variable: Variable) -> bool:
        """Has a report spoken of exactly this variable?"""
        return variable.place() in self._characteristics


def _attribute(said: str | object) -> str:
    return said if isinstance(said, str) and said in _ATTRIBUTES else "Actual"


def names(value: str | None) -> tuple[str, ...]:
    """The members of a list, as they are spelled."""
    return tuple(member.strip() for member in (value or "").split(",") if member.strip())


def members(value: str | None) -> frozenset[str]:
    """The members of a list, without case."""
    return frozenset(member.casefold() for member in names(value))


def any_flag(values: Iterable[str | None]) -> bool | None:
    """True if any spelling says so, None if none is known."""
    said = [value.strip().casefold() == "true" for value in values if value is not None and value.strip()]
    return any(said) if said else None


def number(value: str | None) -> float | None:
    """A finite number, or None."""
    try:
        parsed = float(value) if value is not None else None
    except ValueError:
        return None
    return parsed if parsed is not None and isfinite(parsed) else None
