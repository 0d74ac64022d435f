"""The demo's dispatch on the virtual clock: the same promise, judged the same way, for as many seeds as one likes."""

from msgspec import Struct, convert

from counterflow.app.config import Settings
from counterflow.app.demo.verdict import Mean, Verdict, graces, judge, means_of
from counterflow.app.replay import Replay
from counterflow.domain.instructions import DispatchOrder
from counterflow.domain.views import Refusal
from counterflow.sim.settings import PlantSettings, WorldSettings

GATHER_S = 45.0
RESUME_S = 120.0
BAND_FRAC = 0.02


class Scenario(Struct, frozen=True, kw_only=True):
    """What is played. `share` of the expected offer is ordered; `drop_out` of the cars leave half-way, `silent` of them without a word."""

    stations: int = 200
    duration_s: float = 240.0
    share: float = 0.8
    drop_out: float = 0.1
    silent: float = 0.2
    plant: PlantSettings = PlantSettings()


class Rehearsal(Struct, frozen=True, kw_only=True):
    """How one seed went; power as it truly was at the plugs."""

    seed: int
    target_power_w: float
    verdict: Verdict
    in_band_after_s: float | None
    """From then on until the drop-out every ten-second mean was within 2 %; None = never."""
    messages: int
    members: int
    remaining: int
    violations: int

    @property
    def kept(self) -> bool:
        """The promise of the demo."""
        return self.verdict.kept and self.remaining == 0 and self.violations == 0


def rehearse(seed: int, scenario: Scenario) -> Rehearsal:
    """Play one seed. Raises RuntimeError when the fleet could not be dispatched at all."""
    settings = convert({"stations": {"accept_unknown": True}, "drivers": {"default": {"consent": True}}}, Settings)
    replay = Replay(settings, WorldSettings(stations=scenario.stations, plant=scenario.plant), seed)
    replay.run(GATHER_S)
    offer_w = replay.operations.fleet().available_power_w
    dry = replay.do(replay.operations.order(DispatchOrder(discharge_power_w=max(offer_w, 1.0), duration_s=scenario.duration_s), None, True))
    if isinstance(dry, Refusal):
        raise RuntimeError(dry.sentence)
    target_w = scenario.share * dry.dispatch.feasibility.expected_power_w
    answer = replay.do(replay.operations.order(DispatchOrder(discharge_power_w=target_w, duration_s=scenario.duration_s), None, False))
    if isinstance(answer, Refusal):
        raise RuntimeError(answer.sentence)
    dispatch_id = answer.dispatch.instruction.dispatch_id
    start_s, before = replay.now_s, len(replay.power_w)
    replay.run(scenario.duration_s / 2.0)
    dropped_at_s = replay.now_s
    replay.world.drop_out(scenario.drop_out, scenario.silent)
    replay.run(scenario.duration_s / 2.0)
    true = [(start_s + index, -power_w) for index, power_w in enumerate(replay.power_w[before:])]
    means = means_of(true, start_s, start_s + scenario.duration_s, target_w)
    replay.run(RESUME_S)
    report = replay.report(dispatch_id)
    return Rehearsal(
        seed=seed,
        target_power_w=target_w,
        verdict=judge(means, graces(start_s, [dropped_at_s])),
        in_band_after_s=_in_band_after_s([mean for mean in means if mean.from_s + 10.0 <= dropped_at_s], start_s),
        messages=report.messages_sent,
        members=report.members,
        remaining=len(replay.world.fleet.remaining_profiles()),
        violations=len(replay.world.fleet.violations()),
    )


def _in_band_after_s(means: list[Mean], start_s: float) -> float | None:
    after_s = None
    for mean in reversed(means):
        error = mean.error_frac
        if error is None or abs(error) > BAND_FRAC:
            break
        after_s = mean.from_s - start_s
    return after_s
