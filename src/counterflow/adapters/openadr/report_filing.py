"""One report at the VTN: sent once, and changed where it says something else. The first half of `reporting`'s promise.

A report is known by its event, our client name and its `reportName`. That it is about to be sent is noted first, so that after a crash, or
a time-out whose outcome nobody knows, it is looked for at the VTN before it is sent again.
"""

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Protocol, TypeVar

import msgspec
import structlog
from msgspec import Struct

from counterflow.adapters.openadr.client import VtnError
from counterflow.adapters.openadr.models import AGGREGATED, AnyObject, Report, Version, Wired
from counterflow.adapters.openadr.reading import Page
from counterflow.adapters.openadr.settings import VtnSettings
from counterflow.domain.grid import Wire
from counterflow.engine.grid_side import GridSide

_CONFLICT, _NOT_FOUND = 409, 404
_A = TypeVar("_A", bound=AnyObject)

log = structlog.get_logger("counterflow")


class ReportTransport(Protocol):
    """What reporting needs of a client of the VTN. All raise `VtnError`."""

    async def listing(self, kind: type[_A], path: str, params: Sequence[tuple[str, str]] = ()) -> Page[_A]:
        """All objects of a listing."""
        ...

    async def create(self, kind: type[_A], path: str, body: dict[str, Any]) -> _A:
        """POST."""
        ...

    async def replace(self, kind: type[_A], path: str, body: dict[str, Any]) -> _A:
        """PUT."""
        ...

    def written(self, thing: Wired) -> dict[str, Any]:
        """In the words of the VTN's version."""
        ...


class VenName(Struct, frozen=True, kw_only=True):
    """How we are called at a VTN."""

    vtn: str
    """Our own name for it."""
    client_name: str
    version: Version
    resource_name: str = AGGREGATED


class Filed(Struct, frozen=True):
    """What is noted of a report. An empty id: it is about to be sent, or nobody knows whether it arrived."""

    report_id: str
    digest: str
    at_s: float


class Filing:
    """Files reports at one VTN. `counts` are reports by what became of them."""

    def __init__(self, name: VenName, grid: GridSide, transport: ReportTransport, counts: Counter[str]) -> None:
        self._name = name
        self._grid = grid
        self._transport = transport
        self.counts = counts
        prefix = f"{name.vtn}/report/"
        self._notes = {key: _filed(note) for key, note in grid.notes(Wire.OPENADR).items() if key.startswith(prefix)}
        self._asked_about: set[str] = set()
        """Events whose reports at the VTN were looked at since the start."""

    def known(self, event_id: str, report_name: str) -> Filed | None:
        """What is noted of a report; None = nothing."""
        return self._notes.get(self._key(event_id, report_name))

    def forget(self, oldest_s: float) -> None:
        """Drops the notes of reports that were filed before then."""
        for key in [key for key, filed in self._notes.items() if filed.at_s < oldest_s]:
            del self._notes[key]
            self._grid.note(Wire.OPENADR, key, None)

    def _key(self, event_id: str, report_name: str) -> str:
        return f"{self._name.vtn}/report/{event_id}/{report_name}"

    async def file(self, report: Report) -> None:
        """POST it, or PUT it where it is there and says something else. Raises `VtnError`, ValueError."""
        body = self._transport.written(report if self._name.version is Version.V3_0_1 else msgspec.structs.replace(report, program_id=None))
        now_s = self._grid.now_s()
        digest = sha256(msgspec.json.encode(body)).hexdigest()[:32]
        key = self._key(report.event_id, report.report_name or "")
        known = self.known(report.event_id, report.report_name or "")
        if known is not None and known.report_id and known.digest == digest:
            self.counts["unchanged"] += 1
            return
        report_id = "" if known is None else known.report_id
        if not report_id and (known is not None or report.event_id not in self._asked_about):
            # The last note of a run that crashed may have died with it: the first report of an event is looked for, too.
            report_id = await self._look_up(report)
            self._asked_about.add(report.event_id)
        if known is None:
            self._note(key, Filed(report_id, "", now_s))
        report_id, corrected = await self._send(report, body, report_id)
        self._note(key, Filed(report_id, digest, now_s))
        self.counts["corrected" if corrected else "posted"] += 1
        log.info("OpenADR report", vtn=self._name.vtn, event_id=report.event_id, report=report.report_name, corrected=corrected)

    async def _send(self, report: Report, body: dict[str, Any], report_id: str) -> tuple[str, bool]:
        """(id at the VTN, it was there before). Raises `VtnError`."""
        if not report_id:
            try:
                return (await self._transport.create(Report, "/reports", body)).id, False
            except VtnError as error:
                if error.status != _CONFLICT:
                    raise
                report_id = await self._look_up(report)
                if not report_id:
                    raise
        try:
            return (await self._transport.replace(Report, f"/reports/{report_id}", body)).id or report_id, True
        except VtnError as error:
            if error.status != _NOT_FOUND:
                raise
        return (await self._transport.create(Report, "/reports", body)).id, False  # somebody has deleted it there

    async def _look_up(self, report: Report) -> str:
        """The id of our report of this name at the VTN, "" = there is none. Raises `VtnError`."""
        page = await self._transport.listing(Report, "/reports", [("eventID", report.event_id), ("clientName", report.client_name)])
        mine = (one for one in page.items if one.event_id == report.event_id and one.client_name == report.client_name)
        return next((one.id for one in mine if one.report_name == report.report_name), "")

    def _note(self, key: str, filed: Filed) -> None:
        self._notes[key] = filed
        self._grid.note(Wire.OPENADR, key, [filed.report_id, filed.digest, filed.at_s])


def our_name(settings: VtnSettings) -> VenName:
    """As the settings say; the pool has the name of our resource where there is one and no more."""
    resource = settings.resources[0].name if len(settings.resources) == 1 else AGGREGATED
    return VenName(vtn=settings.name, client_name=settings.ven_name, version=settings.version, resource_name=resource)


def _filed(note: Any) -> Filed:
    """What was noted; a note that cannot be read is as if it had been about to be sent."""
    try:
        report_id, digest, at_s = note
        return Filed(str(report_id), str(digest), float(at_s))
    except (TypeError, ValueError):
        return Filed("", "", 0.0)
