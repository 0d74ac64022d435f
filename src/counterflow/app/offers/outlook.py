"""What the fleet can give, now and over a window to come, by what is known and was learned of its cars."""

from collections.abc import Callable, Iterable

import numpy as np
from msgspec.structs import replace

from counterflow.app.dispatching.control_paths import by_curve_only
from counterflow.app.dispatching.tasks import Book, RunningTask
from counterflow.app.drivers.departure_lessons import DepartureLessons
from counterflow.app.drivers.experience import Experience
from counterflow.app.drivers.identifying import Batch, Identifying
from counterflow.app.offers.commitments import Commitments
from counterflow.domain.ids import DispatchId
from counterflow.domain.instructions import ControlPath, DispatchInstruction, DispatchMode, DispatchState, Feasibility
from counterflow.domain.records import SessionRecord
from counterflow.domain.setpoints import SetpointState
from counterflow.domain.units import WH_PER_WS
from counterflow.engine.control.book import counted_as, counts_forward, pauses_count, peak_power_w
from counterflow.engine.control.feasibility import FeasibilitySettings, feasible
from counterflow.engine.control.response import ResponseMemory, observe
from counterflow.engine.control.settings import ResponseSettings
from counterflow.engine.control.timeline import Timeline
from counterflow.engine.fleet.capability import Capability, capability
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import B1, F8, FleetImage
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.fleet.undisturbed import ChargingTerms

OFFERED_EVERY_S = 20.0
"""So often it is counted what cars could have given: it takes a search that most ticks do without."""
LONGEST_LOOK_S = 60.0
"""After a longer pause between two ticks nobody knows what was offered meanwhile."""


class Outlook:
    """`latched` is true while the emergency stop is on; `steered` tells the rows whose EVSE finds its power by curves.

    What was learned of the cars is kept here, and learned at each tick.
    """

    def __init__(
        self,
        *,
        fleet: FleetState,
        topology: Topology,
        book: Book,
        latched: Callable[[], bool],
        steered: Callable[[FleetImage, ControlPath], B1],
        capability_settings: CapabilitySettings,
        response: ResponseSettings,
        feasibility: FeasibilitySettings,
        experience: Experience,
        identifying: Identifying,
        lessons: DepartureLessons,
        commitments: Commitments,
        charging: ChargingTerms,
    ) -> None:
        self.response = ResponseMemory.fresh(0, response)
        self._fleet = fleet
        self._topology = topology
        self._book = book
        self._latched = latched
        self._steered = steered
        self._capability_settings = capability_settings
        self._response_settings = response
        self._feasibility = feasibility
        self._experience = experience
        self._identifying = identifying
        self._shown: tuple[FleetImage, ResponseMemory] | None = None
        self._lessons = lessons
        self._commitments = commitments
        self._charging = charging

    def learn(self, image: FleetImage) -> None:
        """Take in what the cars' meters say about how they follow, and how soon."""
        self._welcome(image)
        self.response = observe(image, self.response, image.at_s, self._response_settings)
        self._shown = image, self.response

    def take_down(self) -> None:
        """Keep what the last tick was shown of cars on their way, for the identification after the event; once its orders are out."""
        if self._shown is not None:
            shown, self._shown = self._shown, None
            self._identifying.take(*shown)

    def to_identify(self, now_s: float) -> Batch | None:
        """Records of cars whose event is over; `identify` says what they tell, and may be asked elsewhere. None = there are none now."""
        return self._identifying.next(now_s, self.response)

    def identified(self, batch: Batch, found: F8, now_s: float) -> None:
        """What `identify` says of these records: what each car's next event begins with."""
        self.response = self._identifying.done(batch, found, self.response, now_s)

    def capability_now(self, image: FleetImage, window_end_s: float, must_charge_before: B1 | None = None) -> Capability:
        """What each session can be asked until `window_end_s`; `must_charge_before`: rows that had to charge at the last look, (N,)."""
        return capability(
            image,
            image.at_s,
            window_end_s,
            self._capability_settings,
            emergency_stop=self._latched(),
            must_charge_before=must_charge_before,
            topology=self._topology,
        )

    def count_offered(self, task: RunningTask, image: FleetImage, able: Capability) -> None:
        """What the members of a running dispatch could have given since the last look, for fairness over the month."""
        before_s = task.offered_at_s
        if before_s is not None and before_s <= image.at_s < before_s + OFFERED_EVERY_S:
            return
        task.offered_at_s = image.at_s
        if before_s is None or task.figures is None:
            return
        lasted_s = min(max(0.0, image.at_s - before_s), LONGEST_LOOK_S)
        mine = np.where(task.memory.sized(len(image)).active, able.sustained_power_w, 0.0)
        self._fleet.offered(image, mine * lasted_s * WH_PER_WS)

    def gains(self, image: FleetImage) -> F8:
        """Learned gain of each row, or the fleet's prior, (N,)."""
        self._welcome(image)
        return observe(image, self.response, image.at_s, self._response_settings).gains()

    def answers(self, image: FleetImage) -> F8:
        """What each row gives of what the order asks for that it accepted, as settled, (N,); NaN = none does, or it is not known yet."""
        known = observe(image, self.response, image.at_s, self._response_settings)
        settled = (image.setpoint_state == SetpointState.ACCEPTED) & (known.level_w > 0.0)
        share: F8 = np.divide(known.settled_w, known.level_w, out=np.full(len(image), np.nan), where=settled)
        return share

    def session_changed(self, record: SessionRecord, now_s: float) -> None:
        """A session was opened or changed, or has ended, and then what was learned of its car is kept."""
        if record.ended_s is None:
            self._experience.expect(record, now_s)
        else:
            self._identifying.over(record, self.response)
            self._lessons.over(record)

    def _welcome(self, image: FleetImage) -> None:
        self.response = self._experience.welcome(image, self._fleet.row_of, self.response)

    def of(self, instruction: DispatchInstruction, now_s: float, outranked: Iterable[DispatchId] = ()) -> Feasibility:
        """What the instruction's pool can give over (the rest of) its window, as far as can be told now.

        For a window that is to come it is what the cars could give if it began now, without those that will have left or run out of
        time by then, and without regard to dispatches that are over by then.
        """
        image = self._fleet.snapshot(now_s)
        from_s = max(now_s, instruction.start_s)
        # A band is committed as a whole, whatever is asked of it now.
        central = instruction.control_path is ControlPath.CENTRAL
        window_s, lead_s = instruction.end_s - from_s, from_s - now_s
        able = self.capability_now(image, now_s + window_s)
        over = (other.dispatch_id for other in self._book.in_state(DispatchState.RUNNING) if other.end_s <= from_s)
        in_pool = image.occupied & self._topology.pool_mask(instruction.pool)[np.maximum(image.site, 0)]
        in_pool &= ~self.busy_rows(image, instruction.dispatch_id, (*outranked, *over))
        if not (central and pauses_count(instruction)):
            able = able.without_reduction()
        if instruction.control_path is ControlPath.LOCAL_FREQUENCY:
            able = by_curve_only(able, self._steered(image, instruction.control_path))
        if lead_s > 0.0:
            # While it waits a car charges, which keeps its laxity, until it is done; from then on laxity passes with time.
            then_s = able.laxity_s - lead_s + np.minimum(able.recharge_s, lead_s)
            in_pool &= (then_s > able.guard_s + window_s) | (able.reduces(instruction.mode) & np.isnan(able.laxity_s))
        called = self._commitments.called(instruction)
        told = feasible(
            image,
            able,
            self.gains(image),
            in_pool,
            self._topology,
            ordered_power_w=peak_power_w(instruction, from_s) if central else instruction.steps[0].discharge_power_w,
            window_s=window_s,
            mode=counted_as(instruction.mode, instruction.baseline),
            settings=self._feasibility,
            pieces=Timeline.of(instruction).pieces(from_s) if central else (),
            headroom=instruction.order.headroom if instruction.order is not None else None,
            from_s=from_s,
            reserved_w=self._commitments.reserved_w(
                instruction.pool, from_s, instruction.end_s, without=called.commitment_id if called is not None else ""
            ),
            draws_w=self._draws_w(image, instruction, from_s),
        )
        if called is None:
            return told
        return replace(told, commitment_id=called.commitment_id, commitment_power_w=called.power_w)

    def _draws_w(self, image: FleetImage, instruction: DispatchInstruction, at_s: float) -> F8:
        """What of its charging each car can be counted for (N,), W, import positive: of members, which may be slowed already, what their
        plans say; of others with a frozen plan no more than that, since what they draw beyond it is not delivered when it is given up."""
        task, frozen = self._book.tasks.get(instruction.dispatch_id), self._book.frozen.get(instruction.dispatch_id)
        memory = None if task is None else task.memory.sized(len(image))
        plans = frozen.laid_on(image.uid) if frozen is not None else None if memory is None else memory.plans
        if plans is None:
            return image.power_w
        planned_w = plans.power_at(at_s, self._charging) if counts_forward(instruction) else plans.drew_w
        known = (plans.uid == image.uid) & image.occupied
        counted_w = np.where(known, np.minimum(planned_w, image.power_w), image.power_w)
        return counted_w if memory is None else np.where(image.occupied & (memory.group_uid == image.uid), memory.baseline_w, counted_w)

    def offer(self, image: FleetImage, able: Capability, window_s: float) -> Feasibility:
        """What an order for all sites could get over the coming `window_s` from cars that no dispatch holds; `able` is of that window."""
        free = image.occupied & ~self.busy_rows(image, "")
        return feasible(
            image,
            able,
            self.gains(image),
            free,
            self._topology,
            ordered_power_w=0.0,
            window_s=window_s,
            mode=DispatchMode.NET_EXPORT,
            settings=self._feasibility,
        )

    def wants(self, site: int) -> bool:
        """Whether a running dispatch takes cars of this site (row of the topology)."""
        running = self._book.in_state(DispatchState.RUNNING)
        return any(self._topology.pool_mask(instruction.pool)[site] for instruction in running)

    def busy_rows(self, image: FleetImage, dispatch_id: str, outranks: Iterable[DispatchId] = ()) -> B1:
        """Rows that another dispatch holds, (N,). Cars that wait to be handed back are free, and so are those of the dispatches in
        `outranks`."""
        busy = np.zeros(len(image), dtype=bool)
        free = {dispatch_id, *outranks, *(other.dispatch_id for other in self._book.in_state(DispatchState.RESUMING))}
        for uid, owner in self._book.owner.items():
            if owner not in free:
                row = self._fleet.row_of(uid)
                if row is not None:
                    busy[row] = True
        return busy
