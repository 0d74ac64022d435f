"""Whether a set-point command counts on the wire, before the dispatcher is asked whether it may be. No clock, no socket."""

from datetime import UTC, datetime, timedelta

from msgspec import Struct

from counterflow.domain.views import Refusal, RefusalKind

CP56_OCTETS = 7
_TIME_INVALID = 0x80
_MS_PER_MINUTE = 60_000


class SetpointCommand(Struct, frozen=True, kw_only=True):
    """One executed set-point, as it came in; the selection before it is the link's affair."""

    value: float
    """In the program's unit and sign."""
    said_at_s: float | None = None
    """From CP56Time2a; None = the type carries no time, or `time_valid` is False."""
    time_valid: bool = True
    """The time tag is a time, and its bit IV is not set."""
    test: bool = False
    """The ASDU's test bit: it must have no effect."""


def time_of(octets: bytes) -> datetime | None:
    """CP56Time2a (IEC 60870-5-101, 7.2.6.18) in UTC, whatever its bit IV says; None = it is no time at all."""
    milliseconds = int.from_bytes(octets[:2], "little")
    minute, hour, day, month, year = octets[2:7]
    if milliseconds >= _MS_PER_MINUTE:
        return None
    try:
        whole = datetime(2000 + (year & 0x7F), month & 0x0F, day & 0x1F, hour & 0x1F, minute & 0x3F, tzinfo=UTC)
    except ValueError:
        return None
    return whole + timedelta(milliseconds=milliseconds)


def instant_of(octets: bytes) -> float | None:
    """CP56Time2a as epoch seconds; None = marked as invalid (IV), or no time at all."""
    found = time_of(octets)
    return None if found is None or octets[2] & _TIME_INVALID else found.timestamp()


def judge(command: SetpointCommand, newest_said_s: float | None, max_age_s: float, now_s: float) -> Refusal | None:
    """Why this command does not count; None = the dispatcher decides.

    `newest_said_s` is the time of the newest command before it: one that is older, or the same again, is late.
    """
    if command.test:
        return _refusal("A test command has no effect.", "Send it without the test bit.")
    if not command.time_valid:
        return _refusal("The time tag of the command is marked as invalid.", "Check the clock of the control system.")
    if command.said_at_s is None:
        return None
    age_s = now_s - command.said_at_s
    if abs(age_s) > max_age_s:
        way = "behind" if age_s > 0.0 else "ahead of"
        return _refusal(
            f"The time of the command is more than {max_age_s:g} s {way} our clock.",
            "Check both clocks; the protocol's times are UTC here.",
        )
    if newest_said_s is not None and command.said_at_s <= newest_said_s:
        return _refusal("A newer set-point has come already.", "Only the newest set-point counts.")
    return None


def _refusal(sentence: str, remedy: str) -> Refusal:
    return Refusal(kind=RefusalKind.INVALID, sentence=sentence, remedy=remedy)
