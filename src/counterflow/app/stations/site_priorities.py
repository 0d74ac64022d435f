"""Who has priority at each site, as its operator confirmed it; with who and when, and everything that was said before."""

from collections.abc import Callable

from msgspec.structs import replace

from counterflow.domain.conflicts import Leader, PriorityEntry, SitePriority
from counterflow.domain.ids import SiteId
from counterflow.domain.records import DocumentKind
from counterflow.domain.views import Notice
from counterflow.engine.ports import Journal


class SitePriorities:
    """In memory and in the journal."""

    def __init__(self, journal: Journal, notify: Callable[[Notice], None]) -> None:
        self._journal = journal
        self._notify = notify
        self._said: dict[SiteId, SitePriority] = {}

    def confirm(self, site_id: SiteId, entry: PriorityEntry) -> SitePriority:
        """One more word about a site; the last one holds."""
        said = self.of(site_id)
        said = self._said[site_id] = replace(said, entries=(*said.entries, entry))
        self._journal.put(DocumentKind.SITE_PRIORITY, site_id, said)
        what = "priority revoked" if entry.leader is None else f"priority: {entry.leader.value}"
        text = f"{what}, by {entry.by}{f' ({entry.note})' if entry.note else ''}"
        self._notify(Notice(at_s=entry.at_s, kind="conflicts.priority", subject=site_id, text=text, values={}))
        return said

    def of(self, site_id: SiteId) -> SitePriority:
        """What was said of a site."""
        return self._said.get(site_id) or SitePriority(site_id=site_id)

    def all(self) -> list[SitePriority]:
        """Every site of which anything was said."""
        return [self._said[site_id] for site_id in sorted(self._said)]

    def leader_at(self, site_id: SiteId) -> Leader | None:
        """Who has priority; None = nobody has confirmed."""
        return self.of(site_id).leader

    def restore(self) -> None:
        """After a start."""
        self._said = {record.site_id: record for _, record in self._journal.documents(DocumentKind.SITE_PRIORITY)}
