"""(d) What a connected station holds in the server's memory, application state included."""

from collections.abc import Iterator

from counterflow.app.bench.figures import Figure
from counterflow.app.bench.processes import Child
from counterflow.app.bench.stage import Stage

AIM_KIB = 32.0
_SETTLE_S = 1.0


def measure(stage: Stage) -> Iterator[Figure]:
    """Idle stations (booted, discovered, no car) and stations with a session, without and with compression."""
    stations = stage.sizes.memory_stations
    for deflate in (False, True):
        words = "with compression" if deflate else "without compression"
        key = "memory.deflate" if deflate else "memory.plain"
        idle = _kib(stage, stations, "booted", deflate, words)
        yield Figure(
            key=f"{key}.idle_kib",
            title=f"Memory of an idle station, {words}",
            unit="KiB/station",
            values=(idle,),
            aim=None if deflate else AIM_KIB,
        )
        yield Figure(
            key=f"{key}.session_kib",
            title=f"Memory of a station with a session that has reported, {words}",
            unit="KiB/station",
            values=(_kib(stage, stations, "ready", deflate, words),),
        )


def _kib(stage: Stage, stations: int, until: str, deflate: bool, words: str) -> float:
    stage.say(f"memory: {stations} stations, {'idle' if until == 'booted' else 'in a session'}, {words}")
    with stage.server(0) as (empty, _):
        before_kib = _settled_kib(stage, empty)
    with stage.server(stations) as (server, url), stage.load() as load:
        stage.connect(load, url, stations, until, deflate=deflate)
        stage.await_discovery(server, stations)
        return (_settled_kib(stage, server) - before_kib) / stations


def _settled_kib(stage: Stage, server: Child) -> float:
    """After the garbage collector, and with nothing waiting to be written."""
    stage.rest(_SETTLE_S)
    stage.ask(server, "standing")
    return server.pss_kib()
