"""The stations of a run in real time: WebSocket clients in a process of their own, asked over its standard input (see `processes`).

Run as `python -m counterflow.app.bench.realtime.stations CORE`; the kernel places it, since nothing here is a question of CPU time.
"""

import time
from typing import Any

import msgspec

from counterflow.app.bench.processes import answer_requests, need_files
from counterflow.app.bench.realtime.course import CONNECT_PER_S, MIX, PREFIX, Course
from counterflow.app.bench.realtime.truth import Truth
from counterflow.app.hosting.process import run
from counterflow.sim.client import FleetClient
from counterflow.sim.settings import FleetClientSettings


class Stations:
    """The fleet, and what the bench asks of it."""

    async def start(self, url: str, course: dict[str, Any]) -> dict[str, Any]:
        """Stations begin to connect."""
        self._course = msgspec.convert(course, Course)
        need_files(self._course.stations)
        self._late_s: list[tuple[float, float]] = []
        self._client = FleetClient(
            FleetClientSettings(
                url=url,
                stations=self._course.stations,
                seed=self._course.seed,
                prefix=PREFIX,
                connect_rate_per_s=CONNECT_PER_S,
                plant=self._course.plant,
                station=self._course.station,
                mix=MIX,
            )
        )
        self._client.each_step = self._stepped
        await self._client.start()
        self._truth = Truth(self._client.fleet, self._client.began_s)
        return {"began_s": self._client.began_s, "rated_w": float(self._client.fleet.plant.max_power_w.sum())}

    async def progress(self) -> dict[str, Any]:
        """How the fleet stands now."""
        return msgspec.structs.asdict(self._client.progress())

    async def drop_out(self) -> dict[str, Any]:
        """The cars of the course leave."""
        leavers = self._course.leavers()
        for station_id, silently in leavers:
            self._client.leave(station_id, silently=silently)
        return {"cars": len(leavers)}

    async def truth(self, start_s: float) -> dict[str, Any]:
        """What was delivered from then on, how the fleet stands now, and by how much the plant was late in the window."""
        end_s = start_s + self._course.seconds
        return {
            "delivered_w": self._truth.delivered_w(start_s, self._course.seconds).tolist(),
            "standing": msgspec.to_builtins(self._truth.standing(time.time())),
            "late_s": [late_s for until_s, late_s in self._late_s if start_s < until_s <= end_s],
        }

    async def stop(self) -> dict[str, Any]:
        """Every line is closed."""
        await self._client.stop()
        return {}

    def _stepped(self, until_s: float) -> None:
        self._late_s.append((until_s, time.time() - until_s))
        self._truth.step(until_s)


async def _main() -> None:
    stations = Stations()
    await answer_requests(
        {
            "start": stations.start,
            "progress": stations.progress,
            "drop_out": stations.drop_out,
            "truth": stations.truth,
            "stop": stations.stop,
        }
    )


if __name__ == "__main__":
    run(_main())
