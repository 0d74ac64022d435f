"""What a setpoint costs, Absolute against Dynamic: messages, bytes, and CPU from the decision to the text for the socket.

python scripts/measure_setpoints.py
"""

from time import perf_counter

import msgspec

from counterflow.app.config import Settings
from counterflow.app.replay import Replay
from counterflow.domain.instructions import Amendment, DispatchOrder
from counterflow.domain.views import DispatchAnswer
from counterflow.sim.settings import WorldSettings

STATIONS = 200
OPEN_HOUSE = {"stations": {"accept_unknown": True}, "drivers": {"default": {"consent": True}}}


def fleet(path: str, seed: int = 1) -> Replay:
    """A fleet that has settled, with this way of control."""
    settings = msgspec.convert(OPEN_HOUSE | {"placing": {"control_path": path}}, Settings)
    return Replay(settings, WorldSettings(stations=STATIONS), seed).run(60)


def order(at: Replay, power_w: float, duration_s: float) -> str:
    """Order a power; the id of the dispatch."""
    answer = at.do(at.operations.order(DispatchOrder(discharge_power_w=power_w, duration_s=duration_s), None, False))
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


def main() -> None:
    """Print both tables."""
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
