"""(d) What a connected station holds in the server's memory, application state included."""

from collections.abc import Iterator

from counterflow.app.bench.figures import Figure
from counterflow.app.bench.processes import Child
from counterflow.app.bench.stage import Stage

AIM_KIB = 32.0
_SETTLE_S = 1.0


def measure(stage: Stage) -> Iterator[Figure]:
    """Idle stations (booted, discovered, no car), then the same with a session each; without and with compression."""
    stations = stage.sizes.memory_stations
    stage.say("memory: the server alone")
    with stage.server(0) as (empty, _):
        before_kib = _settled_kib(stage, empty)
    for deflate in (False, True):
        words = "with compression" if deflate else "without compression"
        key = "memory.deflate" if deflate else "memory.plain"
        with stage.server(stations) as (server, url), stage.load() as load:
            stage.say(f"memory: {stations} stations, {words}")
            stage.connect(load, url, stations, "booted", deflate=deflate)
            stage.await_discovery(server, stations)
            idle_kib = (_settled_kib(stage, server) - before_kib) / stations
            stage.ask(load, "new_sessions", within_s=stage.left_s())
            session_kib = (_settled_kib(stage, server) - before_kib) / stations
        aim = None if deflate else AIM_KIB
        title = f"Memory of an idle station, {words}"
        yield Figure(key=f"{key}.idle_kib", title=title, unit="KiB/station", values=(idle_kib,), aim=aim)
        title = f"Memory of a station with a session that has reported, {words}"
        yield Figure(key=f"{key}.session_kib", title=title, unit="KiB/station", values=(session_kib,))


def _settled_kib(stage: Stage, server: Child) -> float:
    """After the garbage collector, and with nothing waiting to be written."""
    stage.rest(_SETTLE_S)
    stage.ask(server, "standing")
    return server.pss_kib()
