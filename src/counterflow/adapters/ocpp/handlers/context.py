"""What a handler may know besides the request: who asks, whom to ask for a decision, and where to count."""

from collections.abc import Callable
from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType

from counterflow.adapters.ocpp.messages import AdditionalInfoType, IdTokenType
from counterflow.adapters.ocpp.policy import AnswerPolicy
from counterflow.domain.ids import StationId
from counterflow.domain.resources import StationIdentity
from counterflow.domain.telemetry import StationEvent, StationWarned


class WarningKind:
    """The kinds of `StationWarned` that come from this adapter (strings, since they are stored)."""

    SALVAGED: Final = "salvaged"
    VIOLATION: Final = "protocol violation"
    NOT_ACCEPTED: Final = "not accepted"
    SECURITY: Final = "security event"
    IMPOSTOR: Final = "not who it says"
    ALERT: Final = "alert"
    FIRMWARE: Final = "firmware"
    HANDLER: Final = "handler failed"
    PLAN: Final = "a car's plan outside our schedule"
    LATE: Final = "late answer"


class StationContext(Struct, kw_only=True):
    """One station as its handlers see it. `dropped` counts meter values that were left out, by reason, over all stations."""

    station_id: StationId
    policy: AnswerPolicy
    dropped: dict[str, int]
    identity: StationIdentity
    warned: set[str] | None = None
    numbered: int = 0

    def next_number(self) -> int:
        """For a report that its version of OCPP does not number: another one than the last."""
        self.numbered += 1
        return self.numbered


Answer = tuple[Any, list[StationEvent]]
"""Our response, of the action's type (the session checks it), and what happened."""
Handler = Callable[[Any, StationContext, float], Answer]
"""A station's request, the station, and the time: our answer and what happened. Called for accepted stations only, but for boots."""


def always(response: Struct) -> Handler:
    """A handler for requests that change nothing here: the same honest answer every time."""
    return lambda _request, _station, _now_s: (response, [])


MAX_WARNINGS_PER_LINE: Final = 32


def warn_once(context: StationContext, kind: str, text: str, now_s: float) -> list[StationEvent]:
    """A warning, unless this connection has said the same before; a station that misbehaves must not flood the history."""
    key = f"{kind}: {text}"
    if context.warned is None:
        context.warned = set()
    if key in context.warned or len(context.warned) >= MAX_WARNINGS_PER_LINE:
        return []
    context.warned.add(key)
    return [StationWarned(station_id=context.station_id, at_s=now_s, kind=kind, text=text)]


def evccid_of(id_token: IdTokenType) -> str:
    """The car's EVCCID that travels beside a token (Q01.FR.02), or an empty text."""
    infos: list[AdditionalInfoType] | UnsetType = id_token.additional_info
    if infos is UNSET:
        return ""
    return next((entry.additional_id_token for entry in infos if entry.type.casefold() == "evccid"), "")
