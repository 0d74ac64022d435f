"""What the engine is owed by the outside. What the outside may ask of it: `operations`, and for grid operators `grid_side`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from counterflow.domain.commands import Command
from counterflow.domain.delivery import DeliveryReport, LogEntry, Sample
from counterflow.domain.ids import DispatchId, SessionUid
from counterflow.domain.records import DocumentKind


class Clock(Protocol):
    """Where `now_s` comes from at the outermost edge."""

    def now_s(self) -> float:
        """Epoch seconds, UTC."""
        ...


class StationLink(Protocol):
    """The way to the stations. Outcomes come back as `CommandCompleted` events, never as return values."""

    def submit(self, command: Command, now_s: float) -> None:
        """Queue one command; a newer discharge of the same profile replaces one that has not left yet."""
        ...


class Journal(Protocol):
    """Durable memory. Writes are ordered, cheap and buffered; `position` grows with each and is durable once committed."""

    @property
    def position(self) -> int:
        """Number of the last write handed in."""
        ...

    @property
    def durable_position(self) -> int:
        """All writes up to here are on disk."""
        ...

    def on_durable(self, callback: Callable[[int], None]) -> None:
        """`callback(durable_position)` after each commit; it may be called from another thread."""
        ...

    def on_late(self, after_s: float, callback: Callable[[SessionUid, float, float], object]) -> None:
        """`callback(session, received_s, at_s)` for each sample that is older than `after_s` when it comes."""
        ...

    def sample(
        self,
        session_uid: SessionUid,
        received_s: float,
        at_s: float,
        power_w: float,
        export_wh: float,
        import_wh: float,
        soc_frac: float,
    ) -> None:
        """Keep one meter sample; NaN = not in the sample."""
        ...

    def put(self, kind: DocumentKind, key: str, document: Any) -> None:
        """Insert or replace one document (a Struct of domain.records, StationRegistration or DispatchInstruction)."""
        ...

    def delete(self, kind: DocumentKind, key: str) -> None:
        """Remove one document; absent is fine."""
        ...

    def log(self, dispatch_id: DispatchId, entry: LogEntry) -> None:
        """Append one line to a dispatch's log."""
        ...

    def documents(self, kind: DocumentKind) -> Iterable[tuple[str, Any]]:
        """All documents of a kind, decoded, for the start. Includes writes not yet committed only after `flush`."""
        ...

    def dispatch_log(self, dispatch_id: DispatchId) -> Sequence[LogEntry]:
        """The log of one dispatch, oldest first."""
        ...

    def samples(self, session_uids: Iterable[SessionUid], from_s: float, to_s: float) -> Sequence[Sample]:
        """Samples received in [from_s, to_s) of these sessions, in order of arrival."""
        ...

    def last_samples(self, session_uids: Iterable[SessionUid]) -> Sequence[Sample]:
        """The newest known value of each column of each session, merged into one sample a session (for the start)."""
        ...

    def flush(self) -> None:
        """Block until everything handed in is durable."""
        ...


class ReportSink(Protocol):
    """Where finished reports go."""

    def keep(self, report: DeliveryReport) -> None:
        """Store one version of a report; one that is there already stays as it is."""
        ...

    def versions(self, dispatch_id: DispatchId) -> Sequence[int]:
        """The versions that are kept, oldest first."""
        ...

    def read(self, dispatch_id: DispatchId, version: int) -> DeliveryReport | None:
        """One version; None when it is not there or cannot be read."""
        ...

    def sums(self, dispatch_id: DispatchId) -> Mapping[str, str]:
        """The SHA-256 of each version's file, by name (`v1.json`)."""
        ...
