"""Orders that a station would not take or did not answer: how often in a row, what is tried once more, and how long the session rests."""

from collections import Counter

from msgspec import Struct

from counterflow.domain.ids import SessionUid
from counterflow.engine.control.refusals import RefusalSettings, Response


class Refused(Struct, frozen=True, kw_only=True):
    """A station would not take a profile of ours; the session is lost to its dispatch for a while."""

    uid: SessionUid
    dispatch_id: str
    response: Response
    text: str


class Failures:
    """Counts for each session. An accepted discharge ends both rows; what is known of levels lasts as long as the session."""

    def __init__(self, timeout_retries: int, refusals: RefusalSettings) -> None:
        self._timeout_retries = timeout_retries
        self._refusals = refusals
        self._retries: Counter[SessionUid] = Counter()
        self._refused_in_row: Counter[SessionUid] = Counter()
        self._level_refused: set[SessionUid] = set()

    def worked(self, uid: SessionUid) -> None:
        """A whole profile of ours was accepted."""
        self._retries.pop(uid, None)
        self._refused_in_row.pop(uid, None)

    def answered(self, uid: SessionUid) -> None:
        """The station answers again."""
        self._retries.pop(uid, None)

    def may_retry(self, uid: SessionUid) -> bool:
        """No answer came in time, once more: whether the order is sent again."""
        self._retries[uid] += 1
        return self._retries[uid] <= self._timeout_retries

    def rest_s(self, uid: SessionUid, response: Response) -> float:
        """The session is given up for so long, in seconds. Each time in a row doubles the rest, up to the long one."""
        self._retries.pop(uid, None)
        self._refused_in_row[uid] += 1
        doubled_s = response.rest_s * 2.0 ** min(self._refused_in_row[uid] - 1, 16)
        return min(doubled_s, max(self._refusals.long_rest_s, response.rest_s))

    def refuse_level(self, uid: SessionUid) -> None:
        """The station takes no profile of ours at the level that we chose."""
        self._level_refused.add(uid)

    def is_level_refused(self, uid: SessionUid) -> bool:
        """Whether this session's orders go to another level."""
        return uid in self._level_refused

    def forget(self, uid: SessionUid) -> None:
        """The session is over."""
        self.worked(uid)
        self._level_refused.discard(uid)
