"""What happened, in lines that a person can read; their digest tells whether two runs were the same."""

from collections import Counter, deque
from hashlib import blake2b

from counterflow.app.replay import START_S

LINES_KEPT = 400


class Trace:
    """The newest lines, all counts, and a digest over every line there ever was."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self.counts: Counter[str] = Counter()
        self._digest = blake2b(digest_size=8)

    def note(self, at_s: float, who: str, what: str) -> None:
        """One line."""
        line = f"{at_s - START_S:9.3f} s  {who:<10} {what}"
        self.lines.append(line)
        self._digest.update(line.encode())

    @property
    def digest(self) -> str:
        """The same for two runs only if every line was the same."""
        return self._digest.hexdigest()
