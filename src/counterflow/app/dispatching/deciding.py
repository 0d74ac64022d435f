"""One tick of one dispatch: the pure decision of its control path, and its way into the world."""

from collections.abc import Callable

from msgspec.structs import replace

from counterflow.app.dispatching.asides import Asides
from counterflow.app.dispatching.carrying import Carrying
from counterflow.app.dispatching.control_paths import by_curve_only
from counterflow.app.dispatching.guarding import Guarding
from counterflow.app.dispatching.placing import Placement
from counterflow.app.dispatching.tasks import Book, RunningTask
from counterflow.app.offers.outlook import Outlook
from counterflow.domain.instructions import ControlPath
from counterflow.engine.control.balance import group_export_w
from counterflow.engine.control.book import committed, counts_forward, pauses_count
from counterflow.engine.control.curves import activation, signal_of
from counterflow.engine.control.decision import Decision, DispatchTask
from counterflow.engine.control.reserve import reserve
from counterflow.engine.control.settings import ControlSettings
from counterflow.engine.control.tick import tick
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import B1, FleetImage
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.fleet.undisturbed import ChargingTerms


class Deciding:
    """`latched` is true while the emergency stop is on; `steered` tells the rows whose EVSE finds its power by curves."""

    def __init__(
        self,
        *,
        book: Book,
        asides: Asides,
        topology: Topology,
        placement: Placement,
        carrying: Carrying,
        outlook: Outlook,
        guarding: Guarding,
        latched: Callable[[], bool],
        steered: Callable[[FleetImage, ControlPath], B1],
        control: ControlSettings,
        capability_settings: CapabilitySettings,
        charging: ChargingTerms,
    ) -> None:
        self._book = book
        self._asides = asides
        self._topology = topology
        self._placement = placement
        self._carrying = carrying
        self._outlook = outlook
        self._guarding = guarding
        self._latched = latched
        self._steered = steered
        self._control = control
        self._capability_settings = capability_settings
        self._charging = charging

    def decide(self, task: RunningTask, image: FleetImage, now_s: float, at_s: float) -> None:
        """One tick of one dispatch, for the instant `at_s`, now or to come."""
        instruction = task.instruction
        memory = task.memory.sized(len(image))
        frozen = self._book.frozen.pop(instruction.dispatch_id, None)
        if frozen is not None:
            memory = task.memory = replace(memory, plans=frozen.laid_on(image.uid))
        able = self._outlook.capability_now(image, instruction.end_s, memory.must_charge & (image.uid == memory.group_uid))
        able = self._guarding.of_dispatch(task, image, able)
        if not pauses_count(instruction):
            able = able.without_reduction()
        if instruction.control_path is ControlPath.LOCAL_FREQUENCY:
            able = by_curve_only(able, self._steered(image, instruction.control_path))
        share = activation(instruction, at_s)
        task.rests_since_s = None
        decision = self._decision(task, image, able, at_s, share)
        task.memory = decision.memory
        task.figures = decision.figures
        if at_s <= now_s:
            self._outlook.count_offered(task, image, able)
        self._carrying.carry_out(task, decision, image, able, now_s, at_s if at_s > now_s else None)
        if at_s <= now_s:
            self._asides.note(instruction, image, able, now_s)
        if instruction.control_path is ControlPath.AFRR and at_s <= now_s:
            self._placement.signals.tell(instruction, signal_of(share), now_s)

    def _decision(self, task: RunningTask, image: FleetImage, able: Capability, at_s: float, share: float) -> Decision:
        instruction, response = task.instruction, self._outlook.response
        busy = self._outlook.busy_rows(image, instruction.dispatch_id)
        follows = committed(self._book.asked(instruction, at_s))
        asked = DispatchTask(
            instruction=follows,
            busy=busy,
            other_export_w=group_export_w(image, busy, self._topology),
            charging=self._charging if counts_forward(instruction) else None,
            streamed=instruction.stream is not None,
        )
        if instruction.control_path is ControlPath.CENTRAL:
            return tick(
                image,
                asked,
                task.memory,
                response,
                at_s,
                self._topology,
                self._capability_settings,
                self._control,
                emergency_stop=self._latched(),
                able=able,
            )
        return reserve(
            image,
            asked,
            task.memory,
            response,
            at_s,
            self._topology,
            self._capability_settings,
            self._control,
            able=able,
            steered=self._steered(image, instruction.control_path),
            share=share if instruction.control_path is ControlPath.AFRR else 1.0,
        )
