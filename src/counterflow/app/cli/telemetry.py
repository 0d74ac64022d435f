"""`counterflow telemetry`: what the operator of a pool is shown, as it is made."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from counterflow.app.cli.api_client import ApiClient, ApiError
from counterflow.app.cli.shared import JsonOption, Server, Surroundings, asks_server, screen
from counterflow.app.cli.tables import Column, build_table, clock, column, figures, kilo, print_table
from counterflow.domain.grid import PoolTelemetry
from counterflow.domain.ids import ALL_SITES

LOOK_EVERY_S = 1.0
PATIENCE_S = 120.0
"""A server that is away is waited for this long, so that a restart does not end the watching."""


def register(app: typer.Typer) -> None:
    """Put the command into the root."""
    app.command("telemetry", epilog="Example: counterflow telemetry --pool north, counterflow telemetry --last 60 --json")(
        asks_server(telemetry)
    )


def telemetry(
    server: Server,
    pool: Annotated[str, typer.Option("--pool", metavar="POOL", help="all, the pool of a program, or one of telemetry.pools.")] = ALL_SITES,
    last: Annotated[int, typer.Option("--last", min=1, max=1_000, metavar="N", help="So many of the newest records.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Show the newest records of a pool: live on a terminal until Ctrl-C, otherwise once."""
    console = screen()
    with server.client() as client:
        if as_json:
            typer.echo(client.get("/telemetry", {"pool": pool, "most": last}).text)
        elif console.is_terminal:
            _watch(client, pool, last, console, server.around)
        else:
            print_table(console, _records(client, pool, last), _columns(server.around.now_s()), empty="There is no record yet.")


def _records(client: ApiClient, pool: str, last: int) -> list[PoolTelemetry]:
    return client.get("/telemetry", {"pool": pool, "most": last}).read(list[PoolTelemetry])


def _watch(client: ApiClient, pool: str, last: int, console: Console, around: Surroundings) -> None:
    """Until Ctrl-C. Raises `ApiError` when the server stays away."""
    records = _records(client, pool, last)
    heard_s = around.now_s()
    with Live(console=console, auto_refresh=False) as live:
        while True:
            remark = ""
            try:
                behind: dict[str, str | float] = {"pool": pool, "since": records[-1].sequence, "most": 1_000}
                records = [*records, *client.get("/telemetry", behind).read(list[PoolTelemetry])][-last:]
                heard_s = around.now_s()
            except ApiError as error:
                if (error.status is not None and error.status < 500) or around.now_s() - heard_s > PATIENCE_S:
                    raise
                remark = "The server does not answer; trying again."
            live.update(frame(records, pool, around.now_s(), console.width, remark), refresh=True)
            around.pause(LOOK_EVERY_S)


def frame(records: Sequence[PoolTelemetry], pool: str, now_s: float, width: int, remark: str = "") -> Group:
    """One picture of the live view."""
    table, _ = build_table(records, _columns(now_s), width)
    newest = records[-1]
    state = "faulty" if newest.fault else "takes orders" if newest.available else "takes no orders"
    following = "" if newest.target_power_w is None else ", follows its target" if newest.following else ", is off its target"
    foot = remark or "Ctrl-C leaves this view."
    return Group(Text(f"Pool {pool} {state}{following}", "bold"), table, Text(foot, style="yellow" if remark else "dim"))


def _columns(now_s: float) -> list[Column[PoolTelemetry]]:
    return [
        column("Time", lambda one: clock(one.at_s, now_s)),
        figures("Measured kW", lambda one: kilo(one.measured_power_w)),
        figures("Target kW", lambda one: kilo(one.target_power_w)),
        figures("Delivered kW", lambda one: kilo(one.delivered_power_w)),
        figures("Promised kW", lambda one: kilo(one.committed_power_w), 3),
        figures("Up kW", lambda one: kilo(one.up_power_w), 1),
        figures("Down kW", lambda one: kilo(one.down_power_w), 2),
        figures("Cars", lambda one: f"{one.sessions_ready}/{one.sessions}", 4),
        figures("Unheard", lambda one: str(one.unmeasured_sessions), 6),
        figures("Oldest s", lambda one: "-" if one.meter_age_s is None else f"{one.meter_age_s:.0f}", 5),
        column("Quality", lambda one: one.quality.value),
    ]
