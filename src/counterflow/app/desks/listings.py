"""Whole listings, worked out in portions between which control and metering have their turn."""

import asyncio

import numpy as np

from counterflow.app.control_room import ControlRoom
from counterflow.app.desks.views import look, station_view, views_of_rows
from counterflow.domain.ids import SessionUid
from counterflow.domain.session_views import SessionView
from counterflow.domain.station_views import StationView

ROWS_AT_ONCE = 250
"""So many sessions or stations are worked out in one piece: about 2 ms."""


async def session_list(room: ControlRoom, now_s: float) -> list[SessionView]:
    """Open sessions by station and transaction, as all of them were at `now_s`; one that ends while the list is made is not in it."""
    seen = look(room, now_s)
    image = seen.image
    rows = sorted(np.flatnonzero(image.occupied).tolist(), key=lambda row: image.keys[row] or ("", ""))
    views: list[SessionView] = []
    for first in range(0, len(rows), ROWS_AT_ONCE):
        if first:
            await asyncio.sleep(0.0)
        portion = rows[first : first + ROWS_AT_ONCE]
        views += views_of_rows(room, seen, [row for row in portion if room.fleet.row_of(SessionUid(int(image.uid[row]))) == row])
    return views


async def station_list(room: ControlRoom) -> list[StationView]:
    """Registered and connected stations, by id; one that is removed while the list is made is not in it."""
    station_ids = sorted(room.registry.registrations)
    views: list[StationView] = []
    for first in range(0, len(station_ids), ROWS_AT_ONCE):
        if first:
            await asyncio.sleep(0.0)
        portion = (station_view(room, station_id) for station_id in station_ids[first : first + ROWS_AT_ONCE])
        views += [view for view in portion if view is not None]
    return views
