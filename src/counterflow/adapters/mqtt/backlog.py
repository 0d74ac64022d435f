"""Which telemetry records a broker has not acknowledged yet: a pure account, kept over restarts."""

from typing import Annotated

from msgspec import Meta, Struct

MOST_GAPS = 1_000


class Backlog(Struct, kw_only=True, forbid_unknown_fields=True):
    """`live` = the newest record that was sent as it happened; `gaps` = (first, last) of what is to be sent again, oldest first."""

    live: int
    gaps: list[tuple[int, int]] = []
    lost: Annotated[int, Meta(ge=0)] = 0
    """Records that were not kept long enough to be sent again."""

    @classmethod
    def beginning(cls, newest: int) -> "Backlog":
        """Nothing was ever sent: what was recorded before is no concern of this program."""
        return cls(live=newest - 1)

    def connected(self, newest: int) -> None:
        """The newest record is sent next, and at once; what was missed before it is a gap."""
        if newest < self.live:
            # Numbers have begun anew (they never do unless somebody sets the clock back and loses the file).
            self.live, self.gaps = newest - 1, []
            return
        self._missed(self.live + 1, newest - 1)
        self.live = max(self.live, newest - 1)

    def sent(self, sequence: int) -> None:
        """This record is acknowledged, as it happened."""
        self._missed(self.live + 1, sequence - 1)
        self.live = max(self.live, sequence)

    def replayed(self, sequence: int) -> None:
        """Of the oldest gap everything up to this record is acknowledged."""
        first, last = self.gaps[0]
        if sequence >= last:
            del self.gaps[0]
        else:
            self.gaps[0] = (max(first, sequence + 1), last)

    def gone(self, first_kept: int) -> None:
        """What is older than this is not on disk any more."""
        while self.gaps and self.gaps[0][0] < first_kept:
            first, last = self.gaps[0]
            self.lost += min(last + 1, first_kept) - first
            self.replayed(first_kept - 1)

    @property
    def waiting(self) -> int:
        """Records that are to be sent again."""
        return sum(last - first + 1 for first, last in self.gaps)

    def _missed(self, first: int, last: int) -> None:
        if first > last:
            return
        if self.gaps and (self.gaps[-1][1] + 1 == first or len(self.gaps) >= MOST_GAPS):
            # Joined; with many gaps even across what was sent: doubles are told by their number, losses are not.
            self.gaps[-1] = (self.gaps[-1][0], last)
        else:
            self.gaps.append((first, last))
