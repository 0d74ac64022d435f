"""Setpoints, and what became of a command: a closed union, matched exhaustively."""

from collections.abc import Collection, Iterable
from enum import IntEnum
from typing import Any

from msgspec import Struct


class SetpointState(IntEnum):
    """How far the last setpoint of a session has come. UNKNOWN = timed out: the station may or may not follow it."""

    NONE = 0
    PENDING = 1
    ACCEPTED = 2
    REJECTED = 3
    UNKNOWN = 4


class FallbackState(IntEnum):
    """Whether the fallback profile stands beneath."""

    NONE = 0
    PENDING = 1
    PLACED = 2


class PowerStep(Struct, frozen=True, kw_only=True):
    """A later period of an order: from `from_s` on another power (W, <= 0), until the next one or the end of the discharge."""

    from_s: float
    power_w: float


def power_at(power_w: float, later: Iterable[PowerStep], at_s: float) -> float:
    """What an order of several periods asks for at `at_s`, W; before its first period what that one asks for."""
    for step in later:
        if step.from_s > at_s:
            break
        power_w = step.power_w
    return power_w


def strongest_w(power_w: float, later: Collection[PowerStep]) -> float:
    """The strongest discharge (W, <= 0) of an order of several periods."""
    return min((power_w, *(step.power_w for step in later))) if later else power_w


class WattCurves(Struct, frozen=True, kw_only=True):
    """A LocalFrequency period: baseline plus both curves, W, import positive; linear between points, level beyond the ends."""

    baseline_w: float
    frequency: tuple[tuple[float, float], ...]
    """(Hz, W), at least two points."""
    signal: tuple[tuple[int, float], ...] = ()
    """(aFRR signal, W)."""

    @property
    def worst_w(self) -> float:
        """The strongest discharge that they can ask for."""
        return self.baseline_w + min(power for _, power in self.frequency) + min((power for _, power in self.signal), default=0.0)


class Accepted(Struct, frozen=True, kw_only=True):
    """The station stored it. Delivery is judged by the meter."""


class Rejected(Struct, frozen=True, kw_only=True):
    """The station refused it; `reason_code` as OCPP spells it, may be empty."""

    reason_code: str
    text: str = ""


class NotSupported(Struct, frozen=True, kw_only=True):
    """CALLERROR NotSupported/NotImplemented, or any other CALLERROR: the station cannot do this."""

    code: str
    text: str = ""


class TimedOut(Struct, frozen=True, kw_only=True):
    """No answer in time, or the line broke while waiting: the outcome is unknown."""


class Offline(Struct, frozen=True, kw_only=True):
    """It never left: the station is not connected."""


class Superseded(Struct, frozen=True, kw_only=True):
    """A newer command took its place before it left."""


class NothingThere(Struct, frozen=True, kw_only=True):
    """ClearChargingProfile `Unknown`: there was no such profile, which is what we wanted."""


class RawAnswer(Struct, frozen=True, kw_only=True):
    """The answer to a raw call: the payload, or the CALLERROR."""

    payload: dict[str, Any] | None = None
    error_code: str | None = None
    error_text: str = ""


CommandResult = Accepted | Rejected | NotSupported | TimedOut | Offline | Superseded | NothingThere | RawAnswer
