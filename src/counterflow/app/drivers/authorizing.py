"""Who may charge, and whose car may be discharged: the local list first, then a call-out, and what holds when nobody answers.

The call-out runs outside (`Ask`) and never holds anything up: an Authorize waits for it with its answer, and everything else is
answered with what is known. Verdicts are kept by pseudonym for a while.
"""

from collections.abc import Callable
from enum import StrEnum
from math import inf
from pathlib import Path
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from counterflow.domain.ids import StationId

MOST_VERDICTS = 100_000


class OnFailure(StrEnum):
    """What a token may do when the call-out does not answer in time."""

    REFUSE = "refuse"
    CHARGE = "charge"
    DISCHARGE = "discharge"


class AuthorizationSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may charge. Whose car may be discharged is for consent to say; a call-out can only take it back."""

    accept_unknown: Annotated[bool, Meta(description="Tokens that are on no list may charge.", extra={"unit": "-"})] = True
    allowed: Annotated[tuple[str, ...], Meta(description="Tokens that may charge.", extra={"unit": "-"})] = ()
    blocked: Annotated[tuple[str, ...], Meta(description="Tokens that may not.", extra={"unit": "-"})] = ()
    list_file: Annotated[
        str,
        Meta(
            description="File with a token in each line that may charge; `!` before it = may not. Read at the start.", extra={"unit": "-"}
        ),
    ] = ""
    url: Annotated[
        str, Meta(description="Address that is asked by POST about every token that no list blocks; empty = none.", extra={"unit": "-"})
    ] = ""
    bearer_file: Annotated[str, Meta(description="File with the bearer token that is shown there; empty = none.", extra={"unit": "-"})] = ""
    timeout_s: Annotated[
        float,
        Meta(
            description="The call-out is given up after this; keep it below the stations' own time-out.", extra={"unit": "s"}, gt=0, le=60
        ),
    ] = 5.0
    on_failure: Annotated[
        OnFailure,
        Meta(description="When it does not answer: `refuse`, `charge` (no discharge), or `discharge` (as agreed).", extra={"unit": "-"}),
    ] = OnFailure.CHARGE
    verdict_kept_s: Annotated[float, Meta(description="A verdict holds for this long.", extra={"unit": "s"}, ge=0, le=86_400)] = 300.0
    most_at_once: Annotated[
        int, Meta(description="Call-outs under way at the same time; beyond, nobody answers.", extra={"unit": "-"}, ge=1)
    ] = 100


class Question(NamedTuple):
    """What the call-out is told."""

    station_id: StationId
    id_token: str
    token_type: str
    evccid: str


class Verdict(NamedTuple):
    """`status` as OCPP's AuthorizationStatusEnumType; `discharge` False takes the consent back."""

    status: str
    discharge: bool


Told = Callable[[Verdict | None, float], None]
"""The verdict (None = no usable answer in time), and when it came."""
Ask = Callable[[Question, Told], None]
"""Ask outside, and tell on the loop's thread, later or at once."""


class ListError(OSError):
    """The list of tokens cannot be read; the text is a sentence."""


class Authorizing:
    """`settled(pseudonym, now_s)` is called when a verdict about a token has come in."""

    def __init__(
        self,
        settings: AuthorizationSettings,
        pseudonym: Callable[[str], str],
        ask: Ask | None = None,
        settled: Callable[[str, float], None] = lambda _driver, _now_s: None,
    ) -> None:
        """Raises `ListError`."""
        self._settings = settings
        self._pseudonym = pseudonym
        self._ask = ask
        self._settled = settled
        self._verdicts: dict[str, tuple[float, Verdict]] = {}
        self._under_way: dict[str, list[Callable[[Verdict], None]]] = {}
        self.failures = 0
        allowed, blocked = list(settings.allowed), list(settings.blocked)
        for token in _read(settings.list_file):
            (blocked if token.startswith("!") else allowed).append(token.removeprefix("!").strip())
        self._allowed = {pseudonym(token) for token in allowed}
        self._blocked = {pseudonym(token) for token in blocked}

    def verdict(self, question: Question, now_s: float, done: Callable[[Verdict], None] | None = None) -> Verdict | None:
        """What holds for a token now. None = it is being asked, and `done` is told; without `done` the answer is never None."""
        driver = self._pseudonym(question.id_token)
        if driver in self._blocked:
            return Verdict("Blocked", False)
        if driver not in self._allowed and not self._settings.accept_unknown:
            return Verdict("Unknown", False)
        if self._ask is None:
            return Verdict("Accepted", True)
        known = self._verdicts.get(driver)
        if known is not None and now_s - known[0] <= self._settings.verdict_kept_s:
            return known[1]
        waiting = self._under_way.get(driver)
        if waiting is None:
            if len(self._under_way) >= self._settings.most_at_once:
                return self._failed()
            waiting = self._under_way[driver] = []
            self._ask(question, lambda verdict, at_s: self._answered(driver, verdict, at_s))
        if done is None:
            return known[1] if known is not None else self._fallback()
        if driver not in self._under_way:
            return self._verdicts[driver][1]
        waiting.append(done)
        return None

    def discharge_allowed(self, driver: str) -> bool | None:
        """What was said of a driver's discharge; None = nobody was asked."""
        if driver in self._blocked:
            return False
        known = self._verdicts.get(driver)
        return None if known is None else known[1].discharge

    def _answered(self, driver: str, verdict: Verdict | None, now_s: float) -> None:
        told = verdict if verdict is not None else self._failed()
        # A failure is no verdict to keep: the next token is asked about again.
        self._verdicts.pop(driver, None)
        self._verdicts[driver] = (now_s if verdict is not None else -inf, told)
        if len(self._verdicts) > MOST_VERDICTS:
            del self._verdicts[next(iter(self._verdicts))]
        for done in self._under_way.pop(driver, []):
            done(told)
        self._settled(driver, now_s)

    def _failed(self) -> Verdict:
        self.failures += 1
        return self._fallback()

    def _fallback(self) -> Verdict:
        match self._settings.on_failure:
            case OnFailure.REFUSE:
                return Verdict("Invalid", False)
            case OnFailure.CHARGE:
                return Verdict("Accepted", False)
            case OnFailure.DISCHARGE:
                return Verdict("Accepted", True)


def _read(path: str) -> list[str]:
    if not path:
        return []
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ListError(f"The list of tokens {path} cannot be read: {error}.") from None
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
