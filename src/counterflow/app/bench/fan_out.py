"""(b) From the order to the last SetChargingProfile answered, while metering goes on."""

from collections import defaultdict
from collections.abc import Iterator

from counterflow.app.bench.figures import Figure
from counterflow.app.bench.processes import Child, ChildError
from counterflow.app.bench.stage import Stage

FAN_OUT_AIM_S = 1.0
METERING_P99_AIM_MS = 50.0
SHARE = 0.8
"""Of what the fleet offers; under the proportional policy every car then gets an order."""
POLICY = "proportional"
_WITHIN_S = 60.0


def measure(stage: Stage) -> Iterator[Figure]:
    """One dispatch a repeat; between them every car starts a new session, so that each gets a fallback profile first."""
    stations, sizes = stage.sizes.fan_out_stations, stage.sizes
    runs: dict[str, list[float]] = defaultdict(list)
    with stage.server(stations) as (server, url), stage.load() as load:
        stage.say(f"fan-out: {stations} stations connect and start a session")
        stage.connect(load, url, stations, "ready")
        stage.await_discovery(server, stations)
        for number in range(sizes.repeats):
            if number > 0:
                stage.say("fan-out: every car starts a new session")
                stage.ask(load, "new_sessions", within_s=stage.left_s())
            stage.say(f"fan-out: dispatch {number + 1} of {sizes.repeats}, {sizes.paced_per_s:g} samples/s meanwhile")
            _one(stage, server, load, runs)
        if stage.ask(server, "standing")["troubles"]:
            raise ChildError("The server was in trouble during the fan-out.")
    title = f"{stations} stations: dispatch request to the last profile answered"
    yield _figure("fan_out.s", title, "s", runs["answered_s"], FAN_OUT_AIM_S)
    yield _figure("fan_out.accepted_s", "… to the answer to whoever ordered", "s", runs["accepted_s"])
    yield _figure("fan_out.fallback_s", "… to the last fallback profile answered", "s", runs["fallback_s"])
    yield _figure("fan_out.fallbacks", "… fallback profiles", "messages", runs["fallbacks"])
    yield _figure("fan_out.discharge_s", "… to the last discharge profile answered", "s", runs["discharge_s"])
    yield _figure("fan_out.discharges", "… discharge profiles", "messages", runs["discharges"])
    yield _figure("fan_out.cpu_us", "… CPU of the server", "µs CPU/profile", runs["cpu_us"])
    yield _figure("fan_out.metering.p50_ms", "Metering meanwhile, answered within (median)", "ms", runs["p50_ms"])
    yield _figure("fan_out.metering.p99_ms", "Metering meanwhile, answered within (p99)", "ms", runs["p99_ms"], METERING_P99_AIM_MS)


def _one(stage: Stage, server: Child, load: Child, runs: dict[str, list[float]]) -> None:
    stage.ask(load, "pace", per_s=stage.sizes.paced_per_s)
    stage.rest(stage.sizes.warm_up_s)
    stage.ask(load, "profiles")
    cpu_s = server.cpu_s()
    found = stage.ask(server, "dispatch", share=SHARE, policy=POLICY, within_s=_WITHIN_S)
    cpu_s = server.cpu_s() - cpu_s
    if "refused" in found:
        raise ChildError(f"The dispatch was refused: {found['refused']}")
    begun_s = found["started_s"]
    profiles = stage.ask(load, "profiles")
    waited = stage.ask(load, "latency", from_s=begun_s, to_s=begun_s + found["answered_s"])
    stage.ask(load, "pace", per_s=0.0)
    stage.ask(server, "cancel", dispatch_id=found["dispatch_id"])
    runs["answered_s"].append(found["answered_s"])
    runs["accepted_s"].append(found["accepted_s"])
    runs["cpu_us"].append(1e6 * cpu_s / max(found["profiles"], 1))
    for kind in ("fallback", "discharge"):
        runs[f"{kind}_s"].append(profiles["last_s"][kind] - begun_s)
        runs[f"{kind}s"].append(float(profiles["count"][kind]))
    if waited["samples"] > 0:
        runs["p50_ms"].append(waited["p50_ms"])
        runs["p99_ms"].append(waited["p99_ms"])


def _figure(key: str, title: str, unit: str, values: list[float], aim: float | None = None) -> Figure:
    return Figure(key=key, title=title, unit=unit, values=tuple(values), aim=aim)
