"""The invariants of the house (I1 to I11), judged with ground truth: what the cars really do, what the stations really hold."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from counterflow.app.simulation.settings import UNWILLING_EVERY, YARD_EVERY, YARD_EXPORT_W
from counterflow.domain.commands import ProfileKind
from counterflow.domain.ids import DispatchId
from counterflow.domain.instructions import DispatchState
from counterflow.domain.records import Latch, ProfileRecord, ProfileState

if TYPE_CHECKING:
    from counterflow.app.simulation.seat import Seat
    from counterflow.app.simulation.universe import Universe
    from counterflow.app.simulation.wire import Link

SOC_TOLERANCE = 0.006
"""Half of a percent step of the reported state of charge, and rounding."""
STOP_WITHIN_S = 8.0
"""Emergency stop: sent within 5 s (I11), taken by the station within two seconds more."""
HANDED_BACK_WITHIN_S = 60.0
"""A profile whose session belongs to no dispatch is being cleared by then (I8 allows 30 s; a call in flight may take 30 s more)."""
OVER_FRAC, OVER_W = 0.10, 3_000.0
MEAN_S = 30
YARD_MEAN_S = 15
ORDERS_A_MINUTE = 20
"""I10 allows one message in 4 s and lets safety go first."""
SURE_S = 1.0
MARGIN_S = 240.0
"""A hold, its stagger and the paced resume may outlast the window by this much (I7)."""


class Watch:
    """Looks at everything that leaves and, once a second, at everything that is."""

    def __init__(self, universe: Universe) -> None:
        self.breaches: list[str] = []
        self.looks = 0
        self.clock_set_s = 0.0
        """When the server's clock was last set to another time."""
        self.pressed_s: float | None = None
        """Since when the emergency stop is known to be on, as the operator was told."""
        self.acknowledged: dict[DispatchId, str] = {}
        """Orders that an operator was told are accepted, with their idempotency keys."""
        self._universe = universe
        self._orders: dict[str, deque[float]] = {}
        self._heard: dict[str, int] = {}
        self._unowned: dict[tuple[str, int], float] = {}
        self._over: deque[tuple[float, float]] = deque(maxlen=MEAN_S)
        self._yard_w: deque[tuple[float, float]] = deque(maxlen=YARD_MEAN_S)
        self._targets: tuple[object, ...] = ()
        self._targets_since_s = 0.0

    def breach(self, text: str) -> None:
        """An invariant does not hold."""
        self.breaches.append(text)
        self._universe.trace.note(self._universe.now_s, "BREACH", text)

    # --- what leaves ---------------------------------------------------------------------------------------------------------

    def call_leaves(self, link: Link, text: bytes) -> None:
        """A CALL of the server goes onto a connection."""
        now_s, settings = self._universe.now_s, self._universe.server.settings
        frame: list[Any] = msgspec.json.decode(text)
        for call_id, sent_s in tuple(link.unanswered.items()):
            if now_s - sent_s >= settings.ocpp.call_timeout_s - SURE_S or self.clock_set_s + SURE_S > sent_s:
                del link.unanswered[call_id]
            else:
                self.breach(f"I10 {link.seat.name}: a second CALL ({frame[2]}) {now_s - sent_s:.1f} s after one that is not answered")
        link.unanswered[frame[1]] = now_s
        if frame[2] == "SetChargingProfile":
            self._profile_leaves(link.seat, frame[3]["chargingProfile"])

    def answer_arrives(self, link: Link, text: bytes) -> None:
        """A text of a station reaches the server."""
        if text[1] in b"34":
            link.unanswered.pop(msgspec.json.decode(text)[1], None)

    def _profile_leaves(self, seat: Seat, profile: dict[str, Any]) -> None:
        now_s, universe = self._universe.now_s, self._universe
        recent = self._orders.setdefault(seat.name, deque())
        recent.append(now_s)
        while recent[0] < now_s - 60.0:
            recent.popleft()
        if len(recent) > ORDERS_A_MINUTE:
            self.breach(f"I10 {seat.name}: {len(recent)} profiles within a minute")
        record = universe.server.room.ledger.get(seat.name, profile["id"])  # type: ignore[arg-type]
        transaction_id = profile.get("transactionId")
        if record is None and universe.server.room.fleet.uid_of(seat.name, transaction_id) is not None:  # type: ignore[arg-type]
            self.breach(f"ledger {seat.name}: profile {profile['id']} leaves and is not in the ledger")
        [schedule] = profile["chargingSchedule"]
        setpoints_w = [period["setpoint"] for period in schedule["chargingSchedulePeriod"] if "setpoint" in period]
        if any(setpoint_w < 0.0 for setpoint_w in setpoints_w):
            self._discharge_leaves(seat, record, schedule, setpoints_w)

    def _discharge_leaves(self, seat: Seat, record: ProfileRecord | None, schedule: dict[str, Any], setpoints_w: list[float]) -> None:
        now_s, universe = self._universe.now_s, self._universe
        if seat.row % UNWILLING_EVERY == 0:
            self.breach(f"I4 {seat.name}: a discharge without consent")
        if any(setpoint_w > 0.0 for setpoint_w in setpoints_w):
            self.breach(f"I5 {seat.name}: both signs in one profile")
        plant = universe.fleet.plant
        most_w, least_w = float(plant.max_power_w[seat.row]), float(plant.min_power_w[seat.row])
        if any(setpoint_w < -most_w - 1.0 or -least_w + 1.0 < setpoint_w < 0.0 for setpoint_w in setpoints_w):
            self.breach(f"I5 {seat.name}: {setpoints_w} W at a car between {least_w:.0f} and {most_w:.0f} W")
        if "duration" not in schedule:
            self.breach(f"I7 {seat.name}: a discharge without an end")
        instruction = None if record is None else universe.server.room.dispatcher.book.instructions.get(record.dispatch_id)  # type: ignore[call-overload]
        if instruction is not None and record is not None and record.hold_until_s > instruction.end_s + MARGIN_S:
            self.breach(f"I7 {seat.name}: its end is {record.hold_until_s - instruction.end_s:.0f} s after the window")
        latch: Latch = universe.server.room.dispatcher.latch
        if latch.on and universe.server.now_s - latch.at_s > SURE_S and universe.troubled_until_s < now_s:
            self.breach(f"I11 {seat.name}: a discharge leaves {universe.server.now_s - latch.at_s:.1f} s after the emergency stop")

    # --- what is -------------------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Once a second."""
        self.looks += 1
        for seat in self._universe.seats:
            self._complaints(seat)
            self._battery(seat)
        if self._universe.server.alive:
            for seat in self._universe.seats:
                self._accounted(seat)
            self._owned()
            self._remembered()
            self._stopped()
            self._over_delivery()
            self._yard()
            self._guarded()

    def _guarded(self) -> None:
        """The live monitor stops nobody whose meter and clock are right: it is the last line of defence, and the others hold."""
        fleet = self._universe.server.room.fleet
        for seat in self._universe.seats:
            transaction_id = seat.station.state.first_evse.transaction_id
            uid = None if transaction_id is None else fleet.uid_of(seat.name, transaction_id)  # type: ignore[arg-type]
            if uid is not None and fleet.is_guarded(uid) and not self._excused(seat):
                self.breach(
                    f"the monitor stopped the session at {seat.name}: {'; '.join(self._universe.server.room.dispatcher.guarding.words())}"
                )

    def _complaints(self, seat: Seat) -> None:
        complaints = seat.station.violations
        new = complaints[self._heard.get(seat.name, 0) :]
        self._heard[seat.name] = len(complaints)
        for sentence in new:
            if "no fallback" in sentence or "no end" in sentence or not self._excused(seat):
                self.breach(f"I1/I2/I7 {sentence}")

    def _excused(self, seat: Seat) -> bool:
        """Where meter or clock lie, nothing that rests on them can be asked for."""
        return seat.has_lied or seat.clock_ahead_s != 0.0 or abs(self._universe.server.wall_ahead_s) > 1.0

    def _battery(self, seat: Seat) -> None:
        evse, plant, row = seat.station.state.first_evse, self._universe.fleet.plant, seat.row
        if seat.has_lied or not (evse.effective.order.discharges and float(plant.power_w[row]) < 0.0):
            return
        soc, floor = plant.believed_soc_of(row), float(plant.floor_soc_frac[row])
        allowance = SOC_TOLERANCE + abs(seat.clock_ahead_s) * float(plant.max_power_w[row]) / 3600.0 / float(plant.capacity_wh[row])
        if soc < floor - allowance:
            self.breach(f"I1 {seat.name}: discharges at {soc:.3f} with a floor of {floor:.3f}")

    def _accounted(self, seat: Seat) -> None:
        ledger = self._universe.server.room.ledger
        discharging = 0
        for one in seat.station.installed_profiles:
            record = ledger.get(seat.name, one.profile.id)  # type: ignore[arg-type]
            if record is None:
                self.breach(f"ledger {seat.name}: holds profile {one.profile.id}, which the ledger does not know")
            elif record.kind is ProfileKind.DISCHARGE:
                discharging += 1
        if discharging > 1:
            self.breach(f"I8 {seat.name}: {discharging} discharge profiles of ours at one EVSE")

    def _owned(self) -> None:
        """Every profile belongs to a member of an open dispatch, or is being cleared."""
        universe, room = self._universe, self._universe.server.room
        now_s, owner = universe.now_s, room.dispatcher.book.owner
        seats = {seat.name: seat for seat in universe.seats}
        unowned = {}
        for record in room.ledger:
            if record.state is ProfileState.CLEARING or record.session_uid in owner:
                continue
            key = (str(record.station_id), int(record.profile_id))
            seat = seats[record.station_id]
            since_s = max(self._unowned.get(key, now_s), seat.clean_since_s, universe.troubled_until_s)
            unowned[key] = since_s
            if now_s - since_s > HANDED_BACK_WITHIN_S:
                self.breach(f"I8 {seat.name}: nobody takes care of profile {record.profile_id} ({record.kind.value}, {record.state.value})")
        self._unowned = unowned

    def _remembered(self) -> None:
        """What was acknowledged is known, whatever happened since."""
        known = self._universe.server.room.dispatcher.book.instructions
        for dispatch_id in self.acknowledged:
            if dispatch_id not in known:
                self.breach(f"durability: dispatch {dispatch_id} was acknowledged and is forgotten")

    def _stopped(self) -> None:
        universe = self._universe
        latch: Latch = universe.server.room.dispatcher.latch
        if self.pressed_s is not None and not latch.on:
            self.breach("I11 the emergency stop was acknowledged and is forgotten")
        if not latch.on or self.pressed_s is None:
            return
        since_s = max(self.pressed_s, universe.troubled_until_s, universe.server.began_s)
        for seat in universe.seats:
            evse = seat.station.state.first_evse
            if (
                universe.now_s - max(since_s, seat.clean_since_s) > STOP_WITHIN_S
                and seat.link is not None
                and seat.link.server_open
                and evse.transaction_id is not None
                and evse.effective.order.discharges
            ):
                self.breach(f"I11 {seat.name}: still ordered to discharge {universe.now_s - since_s:.0f} s after the emergency stop")

    def _yard(self) -> None:
        """I3: the yard gives no more than its grid connection takes, whatever is under way."""
        universe, plant = self._universe, self._universe.fleet.plant
        given_w = bound_w = 0.0
        for seat in universe.seats[::YARD_EVERY]:
            given_w -= float(plant.power_w[seat.row])
            doubtful = universe.now_s - seat.clean_since_s < MEAN_S or seat.has_lied or seat.station.state.first_evse.silent
            bound_w += 2.0 * float(plant.max_power_w[seat.row]) if doubtful else 0.0
        if universe.now_s - max(universe.troubled_until_s, universe.server.began_s, self.clock_set_s) < 2 * MEAN_S:
            self._yard_w.clear()
            return
        self._yard_w.append((given_w, YARD_EXPORT_W * (1.0 + OVER_FRAC) + bound_w))
        if len(self._yard_w) == YARD_MEAN_S:
            mean_w, most_w = (sum(column) / YARD_MEAN_S for column in zip(*self._yard_w, strict=True))
            if mean_w > most_w:
                self.breach(f"I3 the yard gives {mean_w / 1e3:.1f} kW, its connection takes {YARD_EXPORT_W / 1e3:.0f} kW")

    def _over_delivery(self) -> None:
        """I4, I8: no more than was ordered, by the true power of all that carry an order of ours, over half a minute."""
        universe, room = self._universe, self._universe.server.room
        now_s, server_s = universe.now_s, universe.server.now_s
        running = room.dispatcher.book.in_state(DispatchState.RUNNING)
        ordered_w = sum(room.dispatcher.book.target_w(instruction, server_s) for instruction in running)
        targets = (ordered_w, *(instruction.dispatch_id for instruction in running))
        if targets != self._targets:
            self._targets, self._targets_since_s = targets, now_s
        true_w = allowance_w = 0.0
        # Net export: a car that was ever a member and charges counts against what the others give.
        counted = {uid for instruction in running for uid in room.dispatcher.book.tasks[instruction.dispatch_id].ever}
        plant = universe.fleet.plant
        for seat in universe.seats:
            evse = seat.station.state.first_evse
            transaction_id = evse.transaction_id
            uid = None if transaction_id is None else room.fleet.uid_of(seat.name, transaction_id)  # type: ignore[arg-type]
            if evse.effective.profile_id is None and uid not in counted:
                continue
            true_w += float(plant.power_w[seat.row])
            if now_s - seat.clean_since_s < 2 * MEAN_S or seat.has_lied or evse.silent:
                allowance_w += 2.0 * float(plant.max_power_w[seat.row])
        since_s = max(self._targets_since_s, universe.troubled_until_s, universe.server.began_s, self.clock_set_s)
        if not running or now_s - since_s < 2 * MEAN_S:
            self._over.clear()
            return
        self._over.append((-true_w, ordered_w * (1.0 + OVER_FRAC) + OVER_W + allowance_w))
        if len(self._over) == MEAN_S:
            mean_w, bound_w = (sum(column) / MEAN_S for column in zip(*self._over, strict=True))
            if mean_w > bound_w:
                self.breach(
                    f"I4 {mean_w / 1e3:.1f} kW are delivered where {ordered_w / 1e3:.1f} kW are ordered (bound {bound_w / 1e3:.1f})"
                )

    # --- the end -------------------------------------------------------------------------------------------------------------

    def reckon(self) -> None:
        """After a quiet time: the ledger equals what is at the stations, and that is nothing (I7); no energy was counted twice (I9)."""
        universe, room = self._universe, self._universe.server.room
        kept = sorted((str(record.station_id), int(record.profile_id)) for record in room.ledger)
        held = sorted(universe.fleet.remaining_profiles())
        if kept != held:
            self.breach(f"I7 the ledger has {kept}, the stations hold {held}")
        elif held:
            self.breach(f"I7 after the end there are still {held}")
        if room.dispatcher.book.tasks:
            self.breach(f"I8 dispatches never end: {sorted(room.dispatcher.book.tasks)}")
        for seat in universe.seats:
            if seat.link is None:
                self.breach(f"{seat.name} never came back")
        self._energies()

    def _energies(self) -> None:
        """I9: what is settled to a session is not more than its car has given since the world began."""
        universe, server = self._universe, self._universe.server
        given_wh = {seat.name: universe.exported_wh(seat) for seat in universe.seats}
        lied = {seat.name for seat in universe.seats if seat.lies}
        settled_wh: dict[str, float] = dict.fromkeys(given_wh, 0.0)
        for instruction in server.room.dispatcher.book.instructions.values():
            report = server.reporting.build(instruction, server.now_s)
            if report != server.reporting.build(instruction, server.now_s):
                self.breach(f"I9 the report of {instruction.dispatch_id} is not the same when it is made again")
            for session in report.sessions:
                settled_wh[session.station_id] += session.exported_wh - session.uncertainty_wh
        for name, wh in settled_wh.items():
            if name not in lied and wh > given_wh[name] + 5.0:
                self.breach(f"I9 {name}: {wh:.0f} Wh are settled, {given_wh[name]:.0f} Wh were given")
