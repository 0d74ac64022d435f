"""(a) What a TransactionEvent costs: CPU time and rate, saturated and paced, beside a server on the packages `ocpp` and `websockets`."""

from collections.abc import Generator, Iterator
from importlib.util import find_spec
from math import isnan

from counterflow.app.bench.figures import Figure
from counterflow.app.bench.processes import Child, ChildError
from counterflow.app.bench.stage import Stage

SATURATED_CPU_AIM_US = 35.0
SATURATED_RATE_AIM_PER_S = 20_000.0
PEER_RATIO_AIM = 30.0
PACED_P99_AIM_MS = 50.0
PEER_BUSY_LINES = 50
"""The peer is kept busy by this many of its lines: with all of them a single round of answers would take it half a minute."""


def measure(stage: Stage) -> Iterator[Figure]:
    """All sizes, ours and the peer."""
    for connections in stage.sizes.connections:
        yield from _at(stage, connections)


def _at(stage: Stage, connections: int) -> Iterator[Figure]:
    ours_cpu_us, ours_rate = yield from _ours(stage, connections)
    key = f"gateway.{connections}"
    missing = [package for package in ("ocpp", "websockets") if find_spec(package) is None]
    if missing:
        note = f"the package {missing[0]} is not installed; install counterflow[bench]"
        yield Figure(
            key=f"{key}.cpu_ratio", title="CPU of ocpp + websockets over ours", unit="times", values=(), aim=PEER_RATIO_AIM, note=note
        )
        return
    cpu_us, rate = _peer(stage, connections)
    yield _figure(f"{key}.peer.saturated.cpu_us", f"ocpp + websockets, {connections} stations, saturated", "µs CPU/message", cpu_us)
    yield _figure(f"{key}.peer.saturated.per_s", f"ocpp + websockets, {connections} stations, saturated", "messages/s", rate, better="more")
    ratios = [theirs / ours for theirs, ours in zip(sorted(cpu_us), sorted(ours_cpu_us), strict=False)]
    yield _figure(
        f"{key}.cpu_ratio", f"CPU of ocpp + websockets over ours, {connections} stations", "times", ratios, PEER_RATIO_AIM, better="more"
    )
    rates = [ours / theirs for ours, theirs in zip(sorted(ours_rate), sorted(rate), strict=False)]
    yield _figure(f"{key}.rate_ratio", f"Rate of ours over ocpp + websockets, {connections} stations", "times", rates, better="more")


def _ours(stage: Stage, connections: int) -> Generator[Figure, None, tuple[list[float], list[float]]]:
    sizes, key = stage.sizes, f"gateway.{connections}"
    with stage.server(connections) as (server, url), stage.load() as load:
        stage.say(f"gateway: {connections} stations connect and start a session")
        stage.connect(load, url, connections, "ready")
        stage.await_discovery(server, connections)
        stage.say(f"gateway: {connections} stations, saturated")
        cpu_us, rate = _saturated(stage, server, load, sizes.window_s, connections)
        yield _figure(
            f"{key}.saturated.cpu_us", f"Gateway, {connections} stations, saturated", "µs CPU/message", cpu_us, SATURATED_CPU_AIM_US
        )
        yield _figure(
            f"{key}.saturated.per_s",
            f"Gateway, {connections} stations, saturated, one core",
            "messages/s",
            rate,
            SATURATED_RATE_AIM_PER_S,
            better="more",
        )
        stage.say(f"gateway: {connections} stations, {sizes.paced_per_s:g} messages/s")
        yield from _paced(stage, server, load, key, connections)
        _must_be_sound(stage, server, load, connections)
    return cpu_us, rate


def _peer(stage: Stage, connections: int) -> tuple[list[float], list[float]]:
    with stage.server(connections, peer=True) as (server, url), stage.load() as load:
        stage.say(f"gateway: the server on ocpp + websockets, {connections} stations")
        stage.connect(load, url, connections, "open")
        return _saturated(stage, server, load, stage.sizes.peer_window_s, PEER_BUSY_LINES)


def _saturated(stage: Stage, server: Child, load: Child, window_s: float, lines: int) -> tuple[list[float], list[float]]:
    """CPU µs per message and messages/s of each repeat."""
    cpu_us, rate = [], []
    stage.ask(load, "saturate", on=True, lines=lines)
    stage.rest(stage.sizes.warm_up_s)
    before, cpu_s = stage.ask(load, "count"), server.cpu_s()
    for _ in range(stage.sizes.repeats):
        stage.rest(window_s)
        after, cpu_after_s = stage.ask(load, "count"), server.cpu_s()
        answered = after["answered"] - before["answered"]
        if answered <= 0:
            raise ChildError(f"No message was answered in {window_s:g} s.")
        cpu_us.append(1e6 * (cpu_after_s - cpu_s) / answered)
        rate.append(answered / (after["at_s"] - before["at_s"]))
        before, cpu_s = after, cpu_after_s
    stage.ask(load, "saturate", on=False, lines=lines)
    return cpu_us, rate


def _paced(stage: Stage, server: Child, load: Child, key: str, connections: int) -> Iterator[Figure]:
    sizes = stage.sizes
    cpu_us, p50_ms, p99_ms, rate = [], [], [], []
    stage.ask(load, "pace", per_s=sizes.paced_per_s)
    stage.rest(sizes.warm_up_s)
    before, cpu_s = stage.ask(load, "count"), server.cpu_s()
    for _ in range(sizes.repeats):
        stage.rest(sizes.window_s)
        after, cpu_after_s = stage.ask(load, "count"), server.cpu_s()
        answered = after["answered"] - before["answered"]
        waited = stage.ask(load, "latency", from_s=before["at_s"], to_s=after["at_s"])
        cpu_us.append(1e6 * (cpu_after_s - cpu_s) / max(answered, 1))
        rate.append(answered / (after["at_s"] - before["at_s"]))
        p50_ms.append(waited["p50_ms"])
        p99_ms.append(waited["p99_ms"])
        before, cpu_s = after, cpu_after_s
    stage.ask(load, "pace", per_s=0.0)
    title = f"Gateway, {connections} stations, {sizes.paced_per_s:g} messages/s"
    yield _figure(f"{key}.paced.cpu_us", title, "µs CPU/message", cpu_us)
    yield _figure(f"{key}.paced.per_s", f"{title}, answered", "messages/s", rate, better="more")
    yield _figure(f"{key}.paced.p50_ms", f"{title}, answered within (median)", "ms", p50_ms)
    yield _figure(f"{key}.paced.p99_ms", f"{title}, answered within (p99)", "ms", p99_ms, PACED_P99_AIM_MS)


def _must_be_sound(stage: Stage, server: Child, load: Child, connections: int) -> None:
    """A figure from a server that was in trouble would be worth nothing."""
    standing, count = stage.ask(server, "standing"), stage.ask(load, "count")
    if standing["troubles"] or standing["connections"] != connections or standing["sessions"] != connections or count["closed"]:
        raise ChildError(f"The server was in trouble: {standing}, {count['closed']} lines closed.")


def _figure(key: str, title: str, unit: str, values: list[float], aim: float | None = None, *, better: str = "less") -> Figure:
    return Figure(
        key=key,
        title=title,
        unit=unit,
        values=tuple(v for v in values if not isnan(v)),
        aim=aim,
        better="less" if better == "less" else "more",
    )
