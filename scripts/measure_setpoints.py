"""What a setpoint costs, Absolute against Dynamic: messages, bytes, and CPU from the decision to the text for the socket; and how soon
a step is there, with and without a scheduled start.

python scripts/measure_setpoints.py
"""

from time import perf_counter
from typing import Any

import msgspec
import numpy as np

from counterflow.app.config import Settings
from counterflow.app.replay import Replay
from counterflow.domain.dispatch_views import DispatchAnswer
from counterflow.domain.instructions import Amendment, DispatchOrder
from counterflow.sim.settings import WorldSettings

STATIONS = 200
OPEN_HOUSE = {"stations": {"accept_unknown": True}, "drivers": {"default": {"consent": True}}}


def fleet(path: str, seed: int = 1, stations: int = STATIONS, **sections: Any) -> Replay:
    """A fleet that has settled, with this way of control."""
    settings = msgspec.convert(OPEN_HOUSE | {"placing": {"control_path": path}} | sections, Settings)
    return Replay(settings, WorldSettings(stations=stations), seed).run(60)


def order(at: Replay, power_w: float, duration_s: float, start_s: float | None = None) -> str:
    """Order a power; the id of the dispatch."""
    wanted = DispatchOrder(discharge_power_w=power_w, duration_s=duration_s, start_s=start_s)
    answer = at.do(at.operations.order(wanted, None, False))
    assert isinstance(answer, DispatchAnswer), answer
    return answer.dispatch.instruction.dispatch_id


def traffic(path: str, every_s: int | None) -> tuple[int, int, int]:
    """Messages and bytes of half an hour to 200 cars, and how many changes of target there were."""
    at = fleet(path)
    dispatch_id = order(at, 900e3, 1_800.0)
    since, changes = len(at.sent), 0
    for second in range(1_700):
        at.run(1)
        if every_s is not None and second % every_s == every_s - 1:
            changes += 1
            power_w = 900e3 if changes % 2 else 500e3
            at.do(at.operations.amend(dispatch_id, Amendment(discharge_power_w=power_w), "measure"))
    setpoints = [one for one in at.sent[since:] if one.action in ("SetChargingProfile", "UpdateDynamicSchedule")]
    size = sum(len(msgspec.json.encode([2, "0" * 36, one.action, one.payload])) for one in setpoints)
    return len(setpoints), size, changes


def cost(path: str) -> tuple[float, int]:
    """Seconds of CPU and bytes of one setpoint, from `place` to the text, ledger and journal included; median of rounds."""
    at = fleet(path)
    order(at, 900e3, 3_600.0)
    at.run(30)
    placement = at.room.placement
    placings = list(placement._latest.values())
    took = []
    for round_no in range(40):
        sending = [msgspec.structs.replace(one, power_w=one.power_w - 1.0 - round_no) for one in placings if one.power_w < 0.0]
        began = perf_counter()
        for one in sending:
            placement.place(one, at.now_s)
        texts = at.room.take_departing()
        took.append((perf_counter() - began) / len(sending))
        for station in at.world.stations:
            at.world._flush(at.world._seats[station.station_id])
        for text in texts:
            at.world._seats[str(text.station_id)].station.receive(text.text, at.now_s)
        for station in at.world.stations:
            for frame in station.take_outbox():
                at.room.received(station.station_id, frame, at.now_s)
    return sorted(took)[len(took) // 2], max(len(text.text) for text in texts)


def step(seed: int, ahead_s: float, power_w: float) -> tuple[list[int], float]:
    """Seconds until ten-second means of true power stay within 5 % and 2 % for 20 s, and the energy error of five minutes."""
    at = fleet("auto", seed, stations=500, scheduled_start={"ahead_s": ahead_s})
    order(at, power_w, 400.0, at.now_s + 90.0)
    at.run(90 + 300)
    power = -np.array(at.power_w[-300:]) / power_w
    means = np.convolve(power, np.ones(10) / 10.0, mode="valid")
    took = []
    for band in (0.05, 0.02):
        inside = np.abs(means - 1.0) <= band
        took.append(next(second for second in range(len(inside) - 20) if inside[second : second + 20].all()))
    return took, float(power.mean() - 1.0)


def main() -> None:
    """Print the tables."""
    print("step to 2.6 MW, 500 cars, 5 seeds    5 % after s          2 % after s          energy of 5 min")
    for ahead_s, name in ((0.0, "at the start"), (60.0, "ahead")):
        steps = [step(seed, ahead_s, 2.6e6) for seed in range(1, 6)]
        five, two = ([took[band] for took, _ in steps] for band in (0, 1))
        energy = "  ".join(f"{error * 100:+.2f}" for _, error in steps)
        print(f"{name:34} {five!s:20} {two!s:20} {energy} %")
    print("one setpoint            CPU us   bytes")
    for path in ("absolute", "dynamic"):
        seconds, size = cost(path)
        print(f"{path:20} {seconds * 1e6:9.1f} {size:7d}")
    print("\nhalf an hour, 200 cars     target        messages   KB")
    for path in ("absolute", "dynamic"):
        for every_s in (None, 60, 20):
            messages, size, changes = traffic(path, every_s)
            print(f"{path:26} {changes:3d} changes   {messages:8d} {size / 1e3:6.0f}")


if __name__ == "__main__":
    main()
