"""What became of a call, as what became of a command. A time-out is an unknown outcome, never a refusal."""

from typing import Any, assert_never

import msgspec
from msgspec import UNSET

from counterflow.adapters.ocpp import events as rpc
from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp import messages_v16 as v16
from counterflow.domain.commands import Command, RawCall
from counterflow.domain.setpoints import (
    Accepted,
    CommandResult,
    NothingThere,
    NotSupported,
    Offline,
    RawAnswer,
    Rejected,
    Superseded,
    TimedOut,
)

_CLEARED = (ocpp.ClearChargingProfileResponse, v16.ClearChargingProfileResponse)
_ACCEPTED = Accepted()
_NOTHING_THERE = NothingThere()
_TIMED_OUT = TimedOut()
_OFFLINE = Offline()
_SUPERSEDED = Superseded()


def command_result(command: Command, outcome: rpc.CallOutcome) -> CommandResult:
    """The result of `command` whose call ended with `outcome`."""
    match outcome:
        case rpc.Answered():
            return _raw_answer(outcome.response) if isinstance(command, RawCall) else _answered(outcome.response)
        case rpc.ErrorAnswer():
            if isinstance(command, RawCall):
                return RawAnswer(error_code=outcome.code, error_text=outcome.description)
            return NotSupported(code=outcome.code, text=outcome.description)
        case rpc.InvalidAnswer():
            if isinstance(command, RawCall):
                text = f"The station's answer is not as the schema has it: {outcome.description}"
                return RawAnswer(error_code=outcome.code, error_text=text)
            return _TIMED_OUT  # it did answer, but what it did is unknown
        case rpc.TimedOut() | rpc.ConnectionLost():
            return _TIMED_OUT
        case rpc.NotSent():
            return _OFFLINE
        case rpc.Superseded():
            return _SUPERSEDED
        case _:
            assert_never(outcome)


def _answered(response: Any) -> CommandResult:
    if not hasattr(response, "status"):  # GetTransactionStatus: what it says is an event of its own
        return _ACCEPTED
    match response.status:
        case "Accepted":
            return _ACCEPTED
        case "Unknown" if isinstance(response, _CLEARED):
            return _NOTHING_THERE
        case "NoProfiles":
            return _NOTHING_THERE
        case "NotImplemented" | "NotSupported" as no:
            return NotSupported(code=no, text=_words(response))
        case status:
            info = getattr(response, "status_info", UNSET)
            reason = "" if info is UNSET else info.reason_code
            return Rejected(reason_code=reason, text=_words(response) or ("" if reason else str(status)))


def _words(response: Any) -> str:
    status_info = getattr(response, "status_info", UNSET)  # OCPP 1.6 has none
    if status_info is UNSET or status_info.additional_info is UNSET:
        return ""
    return str(status_info.additional_info)


def _raw_answer(response: msgspec.Struct) -> RawAnswer:
    payload: dict[str, Any] = msgspec.to_builtins(response)
    return RawAnswer(payload=payload)
