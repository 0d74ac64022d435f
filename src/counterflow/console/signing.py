"""Who is signed in: a random cookie here, the API token behind it in the memory of this process, and nowhere else."""

from collections.abc import Callable
from secrets import token_urlsafe
from urllib.parse import urlencode

from msgspec import Struct

from counterflow.domain.access import ROLE_WORDS, Role

COOKIE = "counterflow_console"
SIGN_IN = "/sign-in"


def way_in(path: str, *, is_over: bool) -> str:
    """The sign-in page, which leads back to `path`; `is_over` = it says that a sign-in has ended."""
    told = ({"next": path} if path != "/" else {}) | ({"over": "1"} if is_over else {})
    return f"{SIGN_IN}?{urlencode(told)}" if told else SIGN_IN


def way_back(path: str) -> str:
    """Where a sign-in leads to: a page of this console, whatever was asked for."""
    is_ours = path.startswith("/") and not path.startswith(("//", SIGN_IN)) and "\\" not in path and path.isprintable()
    return path if is_ours else "/"


class Visitor(Struct):
    """One sign-in. `token` is the person's own: the server decides with every request what it allows."""

    key: str
    token: str
    name: str
    role: Role
    since_s: float
    seen_at_s: float

    def __repr__(self) -> str:
        return f"Visitor({self.name}, {self.role.name.lower()})"

    @property
    def may_operate(self) -> bool:
        """Orders, cancels, stops."""
        return self.role >= Role.OPERATOR


class Visitors:
    """All sign-ins. One that is idle, or too old, is over."""

    def __init__(self, idle_s: float, session_s: float, now_s: Callable[[], float]) -> None:
        self._idle_s = idle_s
        self._session_s = session_s
        self._now_s = now_s
        self._all: dict[str, Visitor] = {}

    def __len__(self) -> int:
        return len(self._all)

    def enter(self, token: str, name: str, role: str) -> Visitor:
        """Somebody whose token the server knows."""
        self._drop_over()
        now_s = self._now_s()
        visitor = Visitor(token_urlsafe(32), token, name, ROLE_WORDS[role], now_s, now_s)
        self._all[visitor.key] = visitor
        return visitor

    def find(self, key: str | None) -> Visitor | None:
        """Whoever has this cookie, if the sign-in still holds; it counts as seen."""
        visitor = self._all.get(key or "")
        if visitor is None or self._is_over(visitor):
            self._all.pop(key or "", None)
            return None
        visitor.seen_at_s = self._now_s()
        return visitor

    def ends_in_s(self, visitor: Visitor) -> float:
        """How long the sign-in lasts still, with a page open all the time."""
        return visitor.since_s + self._session_s - self._now_s()

    def leave(self, key: str | None) -> None:
        """Signed out."""
        self._all.pop(key or "", None)

    def _is_over(self, visitor: Visitor) -> bool:
        now_s = self._now_s()
        return now_s - visitor.seen_at_s > self._idle_s or now_s - visitor.since_s > self._session_s

    def _drop_over(self) -> None:
        for key in [key for key, visitor in self._all.items() if self._is_over(visitor)]:
            del self._all[key]
