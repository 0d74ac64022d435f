"""The course on the virtual clock: the whole control room and the same stations in one process, without sockets, HTTP and disk."""

from pathlib import Path
from typing import TypeVar

from counterflow.app.bench.realtime.course import CONNECT_PER_S, MIX, PREFIX, TERMS, Course
from counterflow.app.bench.realtime.played import Played
from counterflow.app.bench.realtime.truth import Truth
from counterflow.app.config import load
from counterflow.app.replay import START_S, Replay
from counterflow.domain.ids import DispatchId
from counterflow.domain.instructions import DispatchOrder, StreamValue
from counterflow.domain.views import Refusal
from counterflow.sim.settings import WorldSettings

RETURN_S = 240
"""The return to charging takes no longer than this."""
Answer = TypeVar("Answer")


class CannotPlayError(RuntimeError):
    """The course could not be played; the text is a sentence."""


def play_virtually(course: Course, config: Path | None = None) -> Played:
    """Play it with a settings file, if there is one. Raises `CannotPlayError` when the order or a value is refused, and `SettingsError`."""
    settings = load(config, {}, {"accept_unknown_stations": True, "default_consent": True})  # as `OwnServer` serves
    world = WorldSettings(
        stations=course.stations,
        prefix=PREFIX,
        plant=course.plant,
        station=course.station,
        mix=MIX,
        connect_over_s=course.stations / CONNECT_PER_S,
    )
    replay = Replay(settings, world, course.seed)
    fleet = replay.world.fleet
    truth = Truth(fleet, START_S)
    replay.each_second.append(lambda: truth.step(replay.now_s))
    replay.run(course.gather_s)
    rated_w = float(fleet.plant.max_power_w.sum())
    start_s = replay.now_s + course.notice_s
    order = DispatchOrder(discharge_power_w=course.peak_w(rated_w), duration_s=course.seconds, start_s=start_s, stream=TERMS)
    placed = _granted(replay.do(replay.operations.order(order, None, False)))
    dispatch_id = placed.dispatch.instruction.dispatch_id
    gone = False
    for number, (second, power_w) in enumerate(course.values(rated_w)):
        replay.run(start_s + second - replay.now_s)
        if second >= course.drop_out_at and not gone:
            gone = True
            for station_id, silently in course.leavers():
                replay.world.leave(station_id, silently=silently)
        _granted(replay.do(replay.operations.tell(dispatch_id, StreamValue(discharge_power_w=power_w, sequence=number))))
    replay.run(start_s + course.seconds - replay.now_s)
    for _ in range(RETURN_S):
        if not list(replay.room.ledger):
            break
        replay.run(1.0)
    return _played(replay, truth, dispatch_id, course, rated_w, start_s)


def _played(replay: Replay, truth: Truth, dispatch_id: DispatchId, course: Course, rated_w: float, start_s: float) -> Played:
    report = replay.report(dispatch_id)
    return Played(
        target_w=course.target_w(rated_w).tolist(),
        delivered_w=truth.delivered_w(start_s, course.seconds).tolist(),
        standing=truth.standing(replay.now_s),
        messages=report.messages_sent,
        metered_wh=report.delivered_energy_wh,
        disturbance={},
    )


def _granted(answer: Answer | Refusal) -> Answer:
    if isinstance(answer, Refusal):
        raise CannotPlayError(f"{answer.sentence} {answer.remedy}")
    return answer
