"""What to do when a station refuses a profile, by reason code (never in a loop)."""

import re
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from counterflow.domain.setpoints import NotSupported, Rejected


class Reaction(StrEnum):
    """The kinds of answer to a refusal."""

    SESSION_GONE = "the station does not know the transaction"
    WAIT_FOR_NEEDS = "the station waits for the car's needs"
    BACK_OFF = "the station asks for a pause"
    OTHER_LEVEL = "the stack level or id is taken"
    CANNOT = "the station lacks the capability"
    NO_PHASES = "the station wants no number of phases"
    OUR_MISTAKE = "the station finds the profile malformed"
    COOL_DOWN = "the station refused without a usable reason"


_BY_CODE = {
    "txnotfound": Reaction.SESSION_GONE,
    "invalidmessageseq": Reaction.WAIT_FOR_NEEDS,
    "invalidmessagesequence": Reaction.WAIT_FOR_NEEDS,
    "ratelimitexceeded": Reaction.BACK_OFF,
    "invalidstacklevel": Reaction.OTHER_LEVEL,
    "duplicateprofile": Reaction.OTHER_LEVEL,
    "invalidprofileid": Reaction.OTHER_LEVEL,
    "invalidoperationmode": Reaction.CANNOT,
    "unsupportedkind": Reaction.CANNOT,
    "unsupportedpurpose": Reaction.CANNOT,
    "unsupportedparam": Reaction.CANNOT,
    "unsupportedrateunit": Reaction.CANNOT,
    "invalidschedule": Reaction.OUR_MISTAKE,
    "invalidprofile": Reaction.OUR_MISTAKE,
    "invalidvalue": Reaction.OUR_MISTAKE,
    "missingparam": Reaction.OUR_MISTAKE,
    "valueoutofrange": Reaction.OUR_MISTAKE,
    "valuetoohigh": Reaction.OUR_MISTAKE,
    "valuetoolow": Reaction.OUR_MISTAKE,
    "toomanyelements": Reaction.OUR_MISTAKE,
    "nophasefordc": Reaction.NO_PHASES,
    "phaseconflict": Reaction.NO_PHASES,
}
MAYBE_FOR_ITS_KIND = frozenset({Reaction.CANNOT, Reaction.OUR_MISTAKE, Reaction.COOL_DOWN})
"""Refusals of a Dynamic profile after which an Absolute one is tried."""
_SECONDS = re.compile(r"(\d{1,6})\s*s")


class RefusalSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a session rests after a refusal."""

    short_rest_s: Annotated[
        float, Meta(description="Rest after a refusal that is likely to pass (needs not in yet, rate limit).", extra={"unit": "s"}, gt=0)
    ] = 30.0
    long_rest_s: Annotated[float, Meta(description="Rest after a refusal that is likely to stay.", extra={"unit": "s"}, gt=0)] = 900.0


class Response(Struct, frozen=True, kw_only=True):
    """What follows a refusal: the session rests for `rest_s`; `retry_level` = then try once on another stack level."""

    reaction: Reaction
    rest_s: float
    retry_level: bool = False


def reaction_to(result: Rejected) -> Reaction:
    """What kind of refusal this is."""
    return _BY_CODE.get(result.reason_code.lower(), Reaction.COOL_DOWN)


def react(result: Rejected | NotSupported, *, retried: bool, settings: RefusalSettings) -> Response:
    """The reaction to a refusal; `retried` = another level was already tried for this session (4.4: retry once)."""
    if isinstance(result, NotSupported):
        return Response(reaction=Reaction.CANNOT, rest_s=settings.long_rest_s)
    reaction = reaction_to(result)
    if reaction is Reaction.OTHER_LEVEL and not retried:
        # Somebody else may be there: the station is asked first, and the other level is tried after the rest (decisions 6).
        return Response(reaction=reaction, rest_s=settings.short_rest_s, retry_level=True)
    if reaction is Reaction.BACK_OFF:
        named = _SECONDS.search(result.text)
        rest_s = float(named.group(1)) if named else settings.short_rest_s
        return Response(reaction=reaction, rest_s=min(max(rest_s, 1.0), settings.long_rest_s))
    if reaction in (Reaction.WAIT_FOR_NEEDS, Reaction.NO_PHASES):
        return Response(reaction=reaction, rest_s=settings.short_rest_s)
    return Response(reaction=reaction, rest_s=settings.long_rest_s)


def words_of(result: Rejected | NotSupported) -> str:
    """What the station said, for people."""
    code = result.code if isinstance(result, NotSupported) else result.reason_code
    return " ".join(part for part in (code, result.text) if part) or "without a reason"
