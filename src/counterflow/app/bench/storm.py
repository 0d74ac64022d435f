"""(f) All stations connect at the same moment, as after an outage: how long until each has its BootNotification answered."""

from collections.abc import Iterator

from counterflow.app.bench.figures import Figure
from counterflow.app.bench.stage import Stage

AIM_S = 5.0


def measure(stage: Stage) -> Iterator[Figure]:
    """A fresh server a repeat; the stations are registered, with passwords."""
    stations = stage.sizes.storm_stations
    booted_s, opened_s, cpu_us = [], [], []
    for number in range(stage.sizes.repeats):
        stage.say(f"storm: {stations} stations at once, {number + 1} of {stage.sizes.repeats}")
        with stage.server(stations) as (server, url), stage.load() as load:
            cpu_s = server.cpu_s()
            found = stage.connect(load, url, stations, "booted", at_once=stations)
            cpu_us.append(1e6 * (server.cpu_s() - cpu_s) / stations)
            booted_s.append(found["booted_s"])
            opened_s.append(found["opened_s"])
    title = f"{stations} stations connect at once"
    yield Figure(key="storm.booted_s", title=f"{title}: last BootNotification answered", unit="s", values=tuple(booted_s), aim=AIM_S)
    yield Figure(key="storm.opened_s", title=f"{title}: last connection open", unit="s", values=tuple(opened_s))
    yield Figure(key="storm.cpu_us", title=f"{title}: CPU of the server", unit="µs CPU/station", values=tuple(cpu_us))
