"""The reading half of discovery: GetVariables in the sizes that the station takes, or a report where that is cheaper or all there is."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp.discovery.batches import ITEMS_MOST, MessageLimit, take
from counterflow.adapters.ocpp.discovery.talk import HOPELESS, NO_ANSWER, Ask, AwaitReport, GivenUpError, Script, Talk
from counterflow.adapters.ocpp.discovery.variables import (
    BYTES,
    CAR_VARIABLES,
    EVSE_LISTED,
    EVSE_VARIABLES,
    ITEMS,
    LISTED,
    STATION_VARIABLES,
    Variable,
    attribute_of,
    component_of,
    name_of,
    of_evse,
)
from counterflow.adapters.ocpp.events import Answered, ErrorAnswer, TimedOut
from counterflow.domain.ids import EvseId

FAILURES_ALLOWED: Final = 3
"""Single variables in a row that a station may refuse by CALLERROR before it counts as one that cannot be asked."""
_REPORT_BASES: Final[tuple[ocpp.ReportBaseEnumType, ...]] = ("FullInventory", "ConfigurationInventory")


def read_all(talk: Talk, evse_ids: Sequence[EvseId]) -> Script[None]:
    """Everything about the station and these EVSEs. Raises GivenUpError when neither way is open."""
    try:
        yield from read(talk, (*ITEMS.values(), *BYTES.values()))
        talk.learn_limits(ITEMS_MOST)
        if _messages(talk, evse_ids) > talk.settings.report_above_messages:
            talk.reported = yield from read_report(talk)
        if not talk.reported:
            yield from read(talk, [*STATION_VARIABLES, *_of_all(evse_ids, EVSE_VARIABLES)])
    except GivenUpError:
        talk.reported = yield from read_report(talk)
        if not talk.reported:
            raise
        talk.learn_limits(ITEMS_MOST)
    yield from read_characteristics(talk, [*LISTED, *_of_all(evse_ids, EVSE_LISTED)])


def read_evses(talk: Talk, evse_ids: Sequence[EvseId]) -> Script[None]:
    """What belongs to these EVSEs, if no report has told it."""
    if not talk.reported:
        yield from read(talk, _of_all(evse_ids, EVSE_VARIABLES))
        yield from read_characteristics(talk, _of_all(evse_ids, EVSE_LISTED))


def read_cars(talk: Talk, evse_ids: Sequence[EvseId]) -> Script[None]:
    """What the EVSEs know of their cars, and no more. Raises GivenUpError."""
    yield from read(talk, (ITEMS["GetVariables"], BYTES["GetVariables"]))
    talk.learn_limits(ITEMS_MOST)
    yield from read(talk, _of_all(evse_ids, CAR_VARIABLES), at_once=ITEMS_MOST)  # asked of every car: not in more messages than needed


def _of_all(evse_ids: Sequence[EvseId], variables: tuple[Variable, ...]) -> list[Variable]:
    return [variable for evse_id in evse_ids for variable in of_evse(evse_id, variables)]


def _messages(talk: Talk, evse_ids: Sequence[EvseId]) -> int:
    """How many GetVariables it would take."""
    variables = len(STATION_VARIABLES) + len(evse_ids) * len(EVSE_VARIABLES)
    limit = talk.limits["GetVariables"]
    items = limit.items
    if limit.max_bytes is not None:
        items = max(1, min(items, limit.max_bytes // _BYTES_EACH))
    return -(-variables // items)


_BYTES_EACH: Final = 110
"""About what one variable takes in a GetVariables."""
_ITEMS_AT_ONCE: Final = 9
"""No more, however many the station takes: an answer about more does not fit into what the WebSocket reads into, which then is twice as
large for as long as the line is open, and leaves a hole of its former size behind: 4 KiB a station for questions asked once."""


@lru_cache(4096)
def _question(variable: Variable) -> ocpp.GetVariableDataType:
    return ocpp.GetVariableDataType(component=component_of(variable), variable=name_of(variable), attribute_type=attribute_of(variable))


@lru_cache(4096)
def _subject(variable: Variable) -> ocpp.ComponentVariableType:
    return ocpp.ComponentVariableType(component=component_of(variable), variable=name_of(variable))


def read(talk: Talk, variables: Sequence[Variable], at_once: int = _ITEMS_AT_ONCE) -> Script[None]:
    """GetVariables in as many messages as it takes (B06.FR.05); a refused one is asked again in smaller parts.

    Raises GivenUpError when the station does not answer, or refuses to be asked.
    """
    left, failures = list(variables), 0
    while left:
        limit = talk.limits["GetVariables"]
        asked = take(left[:at_once], _question, limit)
        batch = left[: len(asked)]
        outcome = yield Ask("GetVariables", ocpp.GetVariablesRequest(get_variable_data=asked))  # type: ignore[arg-type]  # spelled by _question
        match outcome:
            case Answered():
                failures = 0
                results = outcome.response.get_variable_result
                missing = talk.model.keep_results(batch, results)
                left = left[len(batch) :]
                if len(results) < len(batch) and len(missing) < len(batch):
                    # It cuts what is too long for it instead of saying so.
                    talk.limits["GetVariables"] = MessageLimit(len(results), limit.max_bytes)
                    left = missing + left
            case TimedOut():
                raise GivenUpError(f"{NO_ANSWER} GetVariables")
            case ErrorAnswer() if outcome.code in HOPELESS:
                raise GivenUpError(f"the station refuses GetVariables ({outcome.code})")
            case _ if len(batch) > 1:
                talk.limits["GetVariables"] = limit.halved(len(batch))
            case _ if failures < FAILURES_ALLOWED:
                failures += 1
                left = left[1:]
            case ErrorAnswer():
                raise GivenUpError(f"the station refuses GetVariables ({outcome.code})")
            case _:
                raise GivenUpError("the station's answer to GetVariables cannot be read")


def read_report(talk: Talk) -> Script[bool]:
    """GetBaseReport (B07): the whole device model, or at least what can be set. False when the station gives neither."""
    for base in _REPORT_BASES:
        request_id = talk.new_request_id()
        outcome = yield Ask("GetBaseReport", ocpp.GetBaseReportRequest(request_id=request_id, report_base=base))
        if not isinstance(outcome, Answered):
            return False
        if outcome.response.status == "Accepted":
            before = len(talk.model)
            yield AwaitReport(request_id)
            return len(talk.model) > before
    return False


def read_characteristics(talk: Talk, variables: Sequence[Variable]) -> Script[None]:
    """GetReport (B08) on variables that exist: the values lists and limits, which GetVariables cannot tell. A refusal is no fault."""
    left = [one for one in variables if talk.model.exists(one) and not talk.model.has_characteristics(one)]
    while left:
        asked = take(left, _subject, talk.limits["GetReport"])
        left = left[len(asked) :]
        request_id = talk.new_request_id()
        request = ocpp.GetReportRequest(request_id=request_id, component_variable=asked)  # type: ignore[arg-type]  # spelled by _subject
        outcome = yield Ask("GetReport", request)
        if not (isinstance(outcome, Answered) and outcome.response.status == "Accepted"):
            return
        yield AwaitReport(request_id)
