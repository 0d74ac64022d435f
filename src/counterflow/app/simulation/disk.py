"""The journal on a virtual disk: it commits when told, can be locked for a while, and the process may die at any write."""

from collections.abc import Callable

from counterflow.adapters.storage.memory import MemoryJournal


class ProcessKilled(BaseException):  # not an error: the process is gone, nothing in it may catch this
    """The server dies here."""


class Disk(MemoryJournal):
    """Outlives the processes that write on it. `kill_after` = after how many writes from now on the process dies."""

    def __init__(self) -> None:
        super().__init__(manual=True)
        self.kill_after: int | None = None
        self.trouble = ""
        """Why nothing is committed now, such as "database is locked"."""

    @property
    def pending(self) -> int:
        """Writes that a crash would lose."""
        return len(self._pending)

    def alarms(self) -> tuple[str, ...]:
        """As the journal on SQLite says it."""
        return (f"The journal cannot be written: {self.trouble}.",) if self.trouble else ()

    def commit(self) -> None:
        """All that is pending becomes durable, unless the disk takes nothing."""
        if not self.trouble:
            super().commit()

    def crash(self, keep: int) -> int:
        """The process is gone. The writer had just committed the first `keep` pending writes; the rest is lost."""
        kept, self._pending = self._pending[:keep], self._pending[keep:]
        for write in kept:
            write()
        self._durable_position += len(kept)
        self.kill_after = None
        return self.lose_pending()

    def _write(self, write: Callable[[], object]) -> None:
        super()._write(write)
        if self.kill_after is not None:
            self.kill_after -= 1
            if self.kill_after < 0:
                self.kill_after = None
                raise ProcessKilled
