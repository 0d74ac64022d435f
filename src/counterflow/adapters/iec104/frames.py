"""Whether octets of a control system are a frame that the protocol library may be given. It ends the whole process over some that are none.

Only framing is looked at (IEC 60870-5-104, 5; IEC 60870-5-101, 7.3.2): what a frame says is the library's affair, and the dispatcher's.
"""

from collections.abc import Mapping

from counterflow.adapters.iec104.commands import CP56_OCTETS, instant_of, time_of

START = 0x68
HEAD_OCTETS = 2
"""The start octet, and how many octets follow."""
_CONTROL_OCTETS, _ASDU_HEAD_OCTETS, _MOST_OCTETS = 4, 6, 253
_NOT_INFORMATION, _UNNUMBERED = 0x01, 0x03
_FUNCTIONS = frozenset({0x07, 0x0B, 0x13, 0x23, 0x43, 0x83})
"""STARTDT, STOPDT and TESTFR, act and con."""
_OBJECT_OCTETS: Mapping[int, int] = {
    45: 4, 46: 4, 47: 4, 48: 6, 49: 6, 50: 8, 51: 7,
    58: 11, 59: 11, 60: 11, 61: 13, 62: 13, 63: 15, 64: 14,
    100: 4, 101: 4, 102: 3, 103: 10, 105: 4, 107: 12,
}  # fmt: skip
"""Address and elements of the one information object, by type: commands, the same with CP56Time2a, and what concerns the system."""
_CLOCK = 103
_TIMED = frozenset({58, 59, 60, 61, 62, 63, 64, _CLOCK, 107})
"""Types that end with CP56Time2a."""


def length_of(head: bytes) -> int | None:
    """How many octets follow the first two; None = this is no begin of a frame."""
    return head[1] if head[0] == START and _CONTROL_OCTETS <= head[1] <= _MOST_OCTETS else None


def fault_of(body: bytes) -> str | None:
    """What is wrong with what follows the first two octets, in words; None = it may be handed on."""
    control, asdu = body[:_CONTROL_OCTETS], body[_CONTROL_OCTETS:]
    if control[0] & _NOT_INFORMATION:
        if asdu:
            return "octets behind a frame that carries none"
        if control[0] & _UNNUMBERED == _UNNUMBERED and control[0] not in _FUNCTIONS:
            return f"an unnumbered frame of no known function ({control[0]:#04x})"
        return None
    if len(asdu) < _ASDU_HEAD_OCTETS:
        return "an ASDU without a whole head"
    octets = _OBJECT_OCTETS.get(asdu[0])
    if octets is None:
        return f"an ASDU of type {asdu[0]}, which no control system sends"
    if asdu[1] != 1:
        return "an ASDU of more or less than one object"
    if len(asdu) != _ASDU_HEAD_OCTETS + octets:
        return f"an ASDU of type {asdu[0]} of the wrong length"
    if asdu[0] in _TIMED and time_of(asdu[-CP56_OCTETS:]) is None:
        return "a time that is none"
    return None


def clock_of(body: bytes) -> float | None:
    """What a frame that may be handed on says of the time, as epoch seconds (C_CS_NA_1); None = nothing."""
    return instant_of(body[-CP56_OCTETS:]) if len(body) > _CONTROL_OCTETS and body[_CONTROL_OCTETS] == _CLOCK else None
