"""Commands about the limits of the grid: what feeders, sites and phases may carry, and readings of other load."""

from typing import Annotated

import typer

from counterflow.app.cli.shared import JsonOption, Server, asks_server, refuse_options_before, screen
from counterflow.app.cli.tables import Column, clock, column, figures, kilo, print_table, say
from counterflow.domain.units import UnitError, format_power, parse_asked_power_w
from counterflow.domain.views import LimitView

limits_app = typer.Typer(help="What feeders, sites and phases may carry.", no_args_is_help=False)


def register(app: typer.Typer) -> None:
    """Put the commands into the root."""
    app.add_typer(limits_app, name="limits", epilog="Example: counterflow limits, counterflow limits load 'site depot' 12.5kW")


@limits_app.callback(invoke_without_command=True)
@asks_server
def limits(
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """List feeders, sites and phases with their limits, what else draws there, and what our cars give and take."""
    if server.ctx.invoked_subcommand is not None:
        refuse_options_before(server.ctx)
        return
    with server.client() as client:
        reply = client.get("/limits")
    if as_json:
        typer.echo(reply.text)
        return
    print_table(screen(), reply.read(list[LimitView]), _columns(server.around.now_s()), empty="There is no site.")
    for words in dict.fromkeys(words for view in reply.read(list[LimitView]) for words in view.held):
        say(screen(), words)


@limits_app.command("load", epilog="Example: counterflow limits load 'site depot' 12.5kW")
@asks_server
def load(
    server: Server,
    group: Annotated[str, typer.Argument(metavar="GROUP", help="The feeder or site, as counterflow limits names it.")],
    power: Annotated[str, typer.Argument(metavar="POWER", help="Drawn there, such as 12.5kW; generated with a minus, behind --.")],
    as_json: JsonOption = False,
) -> None:
    """Tell what draws at a feeder or site beside our cars and what stands below it. It counts for five minutes."""
    with server.client() as client:
        reply = client.request("PUT", "/limits/load", body={"group": group, "power_w": _load_w(power)})
    if as_json:
        typer.echo(reply.text)
        return
    view = reply.read(LimitView)
    say(screen(), f"At {view.group} {format_power(view.load_least_w)} to {format_power(view.load_most_w)} count as other load.")


def _load_w(text: str) -> float:
    bare = text.strip()
    try:
        return -parse_asked_power_w(bare[1:]) if bare.startswith("-") else parse_asked_power_w(bare)
    except UnitError as error:
        raise typer.BadParameter(str(error)) from None


def _most(always_w: float | None, held_w: float | None) -> str:
    """What counts now; a star = a grid operator holds it below what is always allowed, as told beneath the table."""
    return kilo(always_w) if held_w is None else f"{kilo(held_w)}*"


def _columns(now_s: float) -> list[Column[LimitView]]:
    return [
        column("Group", lambda view: view.group),
        column("Hangs on", lambda view: view.above or "-", 3),
        figures("Export kW", lambda view: kilo(view.export_power_w)),
        figures("Export max", lambda view: _most(view.max_export_power_w, view.held_export_power_w)),
        figures("Import kW", lambda view: kilo(view.import_power_w)),
        figures("Import max", lambda view: _most(view.max_import_power_w, view.held_import_power_w), 1),
        figures("Load kW", lambda view: f"{kilo(view.load_least_w)}..{kilo(view.load_most_w)}", 2),
        column("Read", lambda view: "-" if view.load_read_at_s is None else clock(view.load_read_at_s, now_s), 3),
    ]
