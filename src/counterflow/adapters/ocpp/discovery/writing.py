"""The writing half of discovery: SetVariables in the sizes that the station takes. Each change is announced before it is sent."""

from functools import lru_cache
from typing import Final, Protocol

from msgspec import UNSET

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp.discovery.batches import take
from counterflow.adapters.ocpp.discovery.sampling import Wishes, narrowed, wishes
from counterflow.adapters.ocpp.discovery.talk import Ask, Script, Talk
from counterflow.adapters.ocpp.discovery.variables import (
    ALIGNED_ENDED_MEASURANDS,
    ALIGNED_MEASURANDS,
    INTERVAL,
    MEASURANDS,
    V2X_MEASURANDS,
    Variable,
    component_of,
    name_of,
    place_of,
    variable_of,
)
from counterflow.adapters.ocpp.events import Answered, ErrorAnswer
from counterflow.domain.ids import EvseId
from counterflow.domain.station_settings import ChangedSetting

_LISTS: Final = frozenset(variable.place()[:3] for variable in (*MEASURANDS, V2X_MEASURANDS, ALIGNED_MEASURANDS, ALIGNED_ENDED_MEASURANDS))
MAYBE: Final = "no usable answer"
"""Why a variable may or may not be set now."""

Refusals = dict[Variable, str]
"""What was not set, and why, in words."""


class Write(Protocol):
    """How the variables of a station are set, in its version of OCPP."""

    def __call__(self, talk: Talk, wanted: Wishes, *, announce: bool = True) -> Script[Refusals]:
        """Set them; returns what was not set."""
        ...


def set_sampling(talk: Talk, write: Write, evse_ids: list[EvseId]) -> Script[None]:
    """Ask for the samples that we need; lists that are refused are asked for once more, shorter."""
    if talk.model.at(INTERVAL) is None:
        talk.remarks.append(f"The station names no {INTERVAL}: nothing is known of its sampling.")
    wanted = wishes(talk.model, talk.settings, evse_ids)
    refused = yield from write(talk, wanted)
    shorter = {}
    for variable, why in refused.items():
        value = narrowed(wanted[variable]) if variable.place()[:3] in _LISTS and why.startswith("Rejected") else ""
        if value and value != wanted[variable]:
            shorter[variable] = value
    if shorter:
        again = yield from write(talk, shorter)
        refused = {variable: why for variable, why in refused.items() if variable not in shorter} | again
    talk.refused += [variable.of_station() for variable, why in refused.items() if why != MAYBE]
    talk.remarks += [f"The station did not set {variable}: {why}." for variable, why in refused.items()]
    talk.remarks += [f"{variable} is set once the station has booted again." for variable in talk.after_reboot]


def give_back(talk: Talk, write: Write, changes: tuple[ChangedSetting, ...]) -> Script[None]:
    """Set every variable of `changes` to what it was before us."""
    refused = yield from write(talk, {variable_of(change.variable): change.former for change in changes}, announce=False)
    by_variable = {variable.of_station(): why for variable, why in refused.items()}
    talk.given_back += [change.variable for change in changes if change.variable not in by_variable]
    talk.remarks += [f"The station did not take {variable} back: {why}." for variable, why in by_variable.items()]


@lru_cache(4096)
def _wish(item: tuple[Variable, str]) -> ocpp.SetVariableDataType:
    variable, value = item
    return ocpp.SetVariableDataType(attribute_value=value, component=component_of(variable), variable=name_of(variable))


def set_variables(talk: Talk, wanted: Wishes, *, announce: bool = True) -> Script[Refusals]:
    """SetVariables (B05); returns what was not set. A call that is refused as a whole is tried again in smaller parts."""
    refused: Refusals = {}
    left = list(wanted.items())
    while left:
        limit = talk.limits["SetVariables"]
        asked = take(left, _wish, limit)
        batch = left[: len(asked)]
        if announce:
            talk.announced += [announced(talk, variable, value) for variable, value in batch]
        outcome = yield Ask("SetVariables", ocpp.SetVariablesRequest(set_variable_data=asked))  # type: ignore[arg-type]  # spelled by _wish
        if isinstance(outcome, ErrorAnswer) and len(batch) > 1 and outcome.code.startswith("Occur"):
            talk.limits["SetVariables"] = limit.halved(len(batch))
            continue
        left = left[len(batch) :]
        if isinstance(outcome, Answered):
            refused |= _judge(talk, batch, outcome.response.set_variable_result)
        else:
            why = f"CALLERROR {outcome.code}" if isinstance(outcome, ErrorAnswer) else MAYBE
            refused |= dict.fromkeys((variable for variable, _ in batch), why)
    return refused


def announced(talk: Talk, variable: Variable, value: str) -> ChangedSetting:
    """What is about to be set, with what is there now."""
    former = talk.model.at(variable)
    assert former is not None, "only what has been read is set"
    return ChangedSetting(variable=variable.of_station(), former=former, ours=(value,), set_at_s=talk.now_s)


def _judge(talk: Talk, batch: list[tuple[Variable, str]], results: list[ocpp.SetVariableResultType]) -> Refusals:
    """By name, else by place in the list. What is accepted is so from now on."""
    by_name = {place_of(result.component, result.variable): result for result in results}
    refused: Refusals = {}
    for number, (variable, value) in enumerate(batch):
        result = by_name.get(variable.place()) or (results[number] if len(results) == len(batch) else None)
        if result is None:
            refused[variable] = MAYBE
        elif result.attribute_status == "Accepted":
            talk.model.put(variable, value)
        elif result.attribute_status == "RebootRequired":
            talk.after_reboot.append(variable.of_station())
        else:
            info = result.attribute_status_info
            refused[variable] = result.attribute_status if info is UNSET else f"{result.attribute_status}, {info.reason_code}"
    return refused
