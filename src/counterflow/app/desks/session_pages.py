"""A page of sessions out of many: filtered and sorted by columns of the image, and only the rows that are shown are worked out in full."""

import numpy as np
from numpy.typing import NDArray

from counterflow.app.control_room import ControlRoom
from counterflow.app.desks.views import look, views_of_rows
from counterflow.domain.reasons import Reason
from counterflow.domain.session_views import SessionOrder, SessionPage, SessionQuery
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.snapshot import FleetImage


def session_page(room: ControlRoom, query: SessionQuery, now_s: float) -> SessionPage:
    """Rows that match, sorted; those whose value is unknown come last, whichever way it is sorted."""
    seen = look(room, now_s)
    image, cap, _ = seen
    occupied = np.flatnonzero(image.occupied)
    counts = np.bincount(cap.reason[occupied].astype(np.int64), minlength=len(Reason))
    rows = occupied
    if query.reason:
        code = next((int(reason) for reason in Reason if reason.name.lower() == query.reason), -1)
        rows = rows[cap.reason[rows] == code]
    if query.site_id:
        site_ids = room.topology.site_ids
        rows = rows[image.site[rows] == (site_ids.index(query.site_id) if query.site_id in site_ids else -1)]
    if query.search:
        wanted = query.search.casefold()
        found = [row for row in rows.tolist() if any(wanted in part.casefold() for part in image.keys[row] or ())]
        rows = np.array(found, dtype=rows.dtype)
    shown = _sorted(image, cap, rows, query)[query.offset : query.offset + query.limit]
    return SessionPage(
        at_s=now_s,
        total=len(occupied),
        matched=len(rows),
        reasons={Reason(code).name.lower(): int(count) for code, count in enumerate(counts) if count},
        sessions=tuple(views_of_rows(room, seen, shown)),
    )


def _sorted(image: FleetImage, cap: Capability, rows: NDArray[np.int64], query: SessionQuery) -> list[int]:
    if query.sort is SessionOrder.STATION:
        return sorted(rows.tolist(), key=lambda row: image.keys[row] or ("", ""), reverse=query.descending)
    values = _values(image, cap, query.sort)[rows]
    unknown = np.isnan(values)
    keys = np.where(unknown, 0.0, -values if query.descending else values)
    return [int(row) for row in rows[np.lexsort((rows, keys, unknown))]]


def _values(image: FleetImage, cap: Capability, by: SessionOrder) -> NDArray[np.float64]:
    """Of every row what is sorted by; powers with discharge positive, as people are shown them."""
    match by:
        case SessionOrder.SOC:
            return cap.soc_frac
        case SessionOrder.DEPARTURE:
            return image.departure_s
        case SessionOrder.SETPOINT:
            return -image.setpoint_w
        case SessionOrder.POWER:
            return -image.power_w
        case SessionOrder.ERROR:
            return np.abs(image.power_w - image.setpoint_w)
        case SessionOrder.HEARD:
            return image.power_at_s
        case SessionOrder.AVAILABLE:
            return np.where(cap.reason == Reason.READY, cap.sustained_power_w, 0.0)
        case _:
            return np.zeros(len(image.uid))
