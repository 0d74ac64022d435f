"""What each car gave of what it offered is on its account after a dispatch, and the one that gave less goes first at the next."""

from typing import Any

import numpy as np

from counterflow.engine.fleet import promise


def test_after_a_dispatch_the_accounts_know_what_was_offered_and_given(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 4, plant=ideal)
    for station_id in at.room.fleet.station_ids:
        at.room.fleet.register(station_id, at.room.topology.site_ids[0])
    order = at.order(300.0, 0.4)
    at.run(310)
    fleet = at.room.fleet
    image = fleet.snapshot(at.now_s)
    members = sorted(at.room.dispatcher.book.tasks[order.dispatch_id].ever)
    assert members
    # What was offered waits in the row until the session is looked at again; a station that is registered anew is enough.
    waiting_wh = {uid: float(image.offered_wh[fleet.row_of(uid)]) for uid in members}
    assert max(waiting_wh.values()) > 0.0
    assert np.isclose(sum(waiting_wh.values()), at.offer_w(300.0) / 0.95 * 300.0 / 3600.0, rtol=0.5)
    for station_id in fleet.station_ids:
        fleet.register(station_id, at.room.topology.site_ids[0])
    shares = fleet.snapshot(at.now_s).given_share
    assert (fleet.snapshot(at.now_s).offered_wh == 0.0).all()
    known = shares[~np.isnan(shares)]
    assert known.size
    assert known.max() > 0.3
    assert known.min() < known.max()
    index = fleet.accounts.jain_index()
    assert index is not None
    assert 0.1 < index < 1.0


def test_most_ticks_of_a_running_dispatch_ask_nobody_what_cars_could_hold(town: Any, ideal: dict[str, Any], monkeypatch: Any) -> None:
    at = town(20, 4, plant=ideal)
    at.order(300.0, 0.4)
    at.run(60)
    searched, search = [], promise._sustained_w
    monkeypatch.setattr(promise, "_sustained_w", lambda *figures: searched.append(at.now_s) or search(*figures))
    ticks = at.room.dispatcher.ticks
    at.run(60)
    assert 1 <= len(searched) <= 0.3 * (at.room.dispatcher.ticks - ticks), "for what was offered now and then, and never to decide"
