"""What was said of charging profiles on a station's line, read back from its raw frames: every request with the answer to it."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

SET, MOVE, CLEAR = "SetChargingProfile", "UpdateDynamicSchedule", "ClearChargingProfile"
_ACTIONS = frozenset({SET, MOVE, CLEAR})


class ProfileMessage(Struct, kw_only=True):
    """A request about one profile; `answer` is the status and reason that came back, "" while none has."""

    sent_s: float
    action: str
    profile_id: int
    answered_s: float | None = None
    accepted: bool = False
    answer: str = ""


def profile_messages(frames: Iterable[tuple[str, float, str]]) -> Sequence[ProfileMessage]:
    """Of (direction, instant, text), oldest first. What cannot be read is passed over: these are raw frames."""
    found: list[ProfileMessage] = []
    waiting: dict[str, ProfileMessage] = {}
    for direction, at_s, text in frames:
        if direction == "out":
            if "ChargingProfile" in text or MOVE in text:
                _sent(_frame(text), at_s, found, waiting)
        elif waiting:
            _answered(_frame(text), at_s, waiting)
    return found


def _sent(frame: list[Any], at_s: float, found: list[ProfileMessage], waiting: dict[str, ProfileMessage]) -> None:
    match frame:
        case [2, str(message_id), str(action), dict(payload)] if action in _ACTIONS:
            profile_id = _profile_id(payload)
            if profile_id is not None:
                waiting[message_id] = ProfileMessage(sent_s=at_s, action=action, profile_id=profile_id)
                found.append(waiting[message_id])


def _answered(frame: list[Any], at_s: float, waiting: dict[str, ProfileMessage]) -> None:
    match frame:
        case [3, str(message_id), dict(payload)] if message_id in waiting:
            status, told = str(payload.get("status", "")), payload.get("statusInfo")
            parts = [told.get(name) for name in ("reasonCode", "additionalInfo")] if isinstance(told, dict) else []
            reason = " ".join(str(part) for part in parts if part)
            _settle(waiting.pop(message_id), at_s, f"{status}: {reason}" if reason else status, accepted=status == "Accepted")
        case [4, str(message_id), str(code), str(words), *_] if message_id in waiting:
            _settle(waiting.pop(message_id), at_s, f"{code}: {words}" if words else code, accepted=False)


def _settle(message: ProfileMessage, at_s: float, answer: str, *, accepted: bool) -> None:
    message.answered_s, message.answer, message.accepted = at_s, answer, accepted


def _profile_id(payload: dict[str, Any]) -> int | None:
    """By the names of 2.x (nested, and flat) and of 1.6."""
    nested = payload.get("chargingProfile") or payload.get("csChargingProfiles") or payload
    if not isinstance(nested, dict):
        return None
    named = next((nested[name] for name in ("chargingProfileId", "id") if name in nested), None)
    return named if isinstance(named, int) else None


def _frame(text: str) -> list[Any]:
    try:
        frame = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    return frame if isinstance(frame, list) else []
