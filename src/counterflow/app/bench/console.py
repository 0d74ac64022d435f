"""(g) What the console costs the server while people look, beside the same server without a console, in turns."""

from collections import defaultdict
from collections.abc import Iterator
from math import nan
from statistics import median

from counterflow.app.bench.fan_out import POLICY, SHARE
from counterflow.app.bench.figures import Figure, percentile
from counterflow.app.bench.processes import Child, ChildError
from counterflow.app.bench.stage import Stage

VIEWERS = 10
SERVER_AIM_CORES = 0.1
PAGE_AIM_MS = 300.0
TICK_LATER_AIM_MS = 50.0
TICK_CPU_AIM_MS = 5.0
METER_EVERY_S = 10.0
"""Each station sends a sample so often, as the server has asked it to; cars that are heard more rarely drop out as silent."""
FRESH_S = 5.0
"""Before the order every station sends a sample within this time."""
_WITHIN_S = 60.0
_TICKS = (("tick", "took", "takes"), ("tick_cpu", "cpu", "takes of the processor"), ("tick_late", "late", "begins late"))
_LOOK_MORE_S = 30.0


def measure(stage: Stage) -> Iterator[Figure]:
    """One dispatch runs all the while. A pair is a window without a console and one with the console and its viewers; which comes first
    changes from pair to pair."""
    sessions, sizes = stage.sizes.console_sessions, stage.sizes
    runs: dict[str, list[float]] = defaultdict(list)
    with stage.server(sessions) as (server, url), stage.load() as load:
        stage.say(f"console: {sessions} stations connect and start a session")
        stage.connect(load, url, sessions, "ready")
        stage.await_discovery(server, sessions)
        where = stage.ask(server, "watch")
        stage.ask(load, "pace", per_s=sessions / FRESH_S)  # whoever was not heard since it came is not dispatched
        stage.rest(FRESH_S + 1.0)
        stage.ask(load, "pace", per_s=sessions / METER_EVERY_S)
        found = stage.ask(server, "dispatch", share=SHARE, policy=POLICY, within_s=_WITHIN_S)
        if "refused" in found:
            raise ChildError(f"The dispatch was refused: {found['refused']}")
        stage.rest(sizes.console_settle_s)  # how cars follow is learned from their first answers, which costs as much again as metering
        for number in range(sizes.console_pairs):
            stage.say(f"console: {VIEWERS} viewers and none, {number + 1} of {sizes.console_pairs}")
            for watched in (False, True) if number % 2 == 0 else (True, False):
                if watched:
                    _with_viewers(stage, server, where, runs)
                else:
                    _window(stage, server, "without", runs)
        stage.ask(load, "pace", per_s=0.0)
        standing = stage.ask(server, "standing")
        if standing["troubles"]:
            raise ChildError("The server was in trouble while people looked.")
        runs["drop_outs"].append(standing["drop_outs"])
    yield from _figures(sessions, runs)


def _with_viewers(stage: Stage, server: Child, where: dict[str, str], runs: dict[str, list[float]]) -> None:
    with stage.viewers() as viewers:
        stage.ask(server, "ticks")
        stage.ask(viewers, "open", viewers=VIEWERS, **where)
        stage.rest(stage.sizes.warm_up_s)
        runs["lag_opening"].append(1e3 * max(stage.ask(server, "ticks")["lag_s"], default=0.0))
        viewers.tell("look", window_s=stage.sizes.console_window_s)
        _window(stage, server, "with", runs)
        seen = viewers.hear("look", stage.sizes.console_window_s + _LOOK_MORE_S)
        stage.ask(viewers, "close")
    if not seen["pages_s"] or seen["updates"] < VIEWERS:
        raise ChildError("The console's pages were not kept up to date.")
    runs["console"].append(seen["cores"])
    runs["updates"].append(seen["updates"] / stage.sizes.console_window_s / VIEWERS)
    runs["page_p50"].append(1e3 * median(seen["pages_s"]))
    runs["page_most"].append(1e3 * max(seen["pages_s"]))


def _window(stage: Stage, server: Child, name: str, runs: dict[str, list[float]]) -> None:
    stage.ask(server, "ticks")
    spent_s, window_s = server.cpu_s(), stage.sizes.console_window_s
    stage.rest(window_s)
    runs[f"cores_{name}"].append((server.cpu_s() - spent_s) / window_s)
    seen = stage.ask(server, "ticks")
    for what in ("took", "cpu", "late"):
        runs[f"{what}_{name}"] += [1e3 * each_s for each_s in seen[f"{what}_s"]]
    runs[f"cpu_p50_{name}"].append(1e3 * percentile(seen["cpu_s"], 0.5))
    runs[f"lag_p99_{name}"].append(1e3 * percentile(seen["lag_s"], 0.99))
    runs[f"lag_most_{name}"].append(1e3 * max(seen["lag_s"], default=0.0))


def _figures(sessions: int, runs: dict[str, list[float]]) -> Iterator[Figure]:
    title = f"{sessions} sessions, {VIEWERS} viewers of the console"
    yield _figure("console.server_cores", f"{title}: CPU of the server for it", "cores", _more(runs, "cores"), SERVER_AIM_CORES)
    yield _figure("console.server_with_cores", "… CPU of the server with it", "cores", runs["cores_with"])
    yield _figure("console.server_without_cores", "… CPU of the server without it", "cores", runs["cores_without"])
    yield _figure("console.console_cores", "… CPU of the console's process", "cores", runs["console"])
    for name in ("with", "without"):
        for key, what, words in _TICKS:
            values, title = runs[f"{what}_{name}"], f"… control tick {words}, {name} it"
            yield _figure(f"console.{key}_{name}.p50_ms", f"{title} (median)", "ms", [percentile(values, 0.5)])
            yield _figure(f"console.{key}_{name}.p99_ms", f"{title} (p99)", "ms", [percentile(values, 0.99)])
    for what, words in (("took", "takes longer"), ("late", "begins later")):
        longest = {name: max(runs[f"{what}_{name}"], default=nan) for name in ("with", "without")}
        title = f"… the worst control tick of all {words} with it than without it"
        yield _figure(f"console.tick_{what}_more_ms", title, "ms", [longest["with"] - longest["without"]], TICK_LATER_AIM_MS)
    title = "… control tick takes more of the processor with it (median of a window)"
    yield _figure("console.tick_cpu_more_ms", title, "ms", _more(runs, "cpu_p50"), TICK_CPU_AIM_MS)
    title = "… what waits for the loop waits longer with it (p99)"
    yield _figure("console.lag_more_ms", title, "ms", _more(runs, "lag_p99"), TICK_LATER_AIM_MS)
    title = "… longest that anything waited for the loop while the console starts and its pages open"
    yield _figure("console.lag_opening_ms", title, "ms", runs["lag_opening"], TICK_LATER_AIM_MS)
    yield _figure("console.lag_most_with_ms", "… longest that anything waited for the loop, with it", "ms", runs["lag_most_with"])
    yield _figure("console.lag_most_without_ms", "… longest that anything waited for the loop, without it", "ms", runs["lag_most_without"])
    yield _figure("console.updates_per_s", "… messages that bring a viewer's page up to date (a mean)", "1/s", runs["updates"])
    yield _figure("console.page_ms", "… a page of the fleet's table comes within (median)", "ms", runs["page_p50"], PAGE_AIM_MS)
    yield _figure("console.page_most_ms", "… the slowest page of a window", "ms", runs["page_most"])
    yield _figure("console.drop_outs", "… cars that dropped out of the dispatch meanwhile", "cars", runs["drop_outs"], 0.0)


def _more(runs: dict[str, list[float]], what: str) -> list[float]:
    """How much more it was with the console, in each pair."""
    return [watched - alone for watched, alone in zip(runs[f"{what}_with"], runs[f"{what}_without"], strict=True)]


def _figure(key: str, title: str, unit: str, values: list[float], aim: float | None = None) -> Figure:
    known = tuple(value for value in values if value == value)  # a short window may have had no tick
    return Figure(key=key, title=title, unit=unit, values=known, aim=aim, note="" if known else "No tick came.")
