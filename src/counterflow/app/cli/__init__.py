"""The command `counterflow`: one root, its commands in the modules beside this one."""

from typing import Annotated

import typer

from counterflow import __version__
from counterflow.app.cli import (
    access,
    bench,
    certificates,
    conflicts,
    drivers,
    explain,
    iec104,
    limits,
    looks,
    offers,
    orders,
    replay,
    reports,
    run,
    streaming,
    telemetry,
    vtn,
    watch,
)
from counterflow.app.cli.shared import SentenceGroup

app = typer.Typer(
    name="counterflow",
    cls=SentenceGroup,
    help="Turn plugged-in cars into a virtual power plant: run the server, order discharge, see what was delivered.",
    epilog="Example: counterflow serve, and in another terminal: counterflow dispatch 100kW 15min --watch",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_show_locals=False,
)


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=lambda asked: _version(asked))
    ] = False,
) -> None:
    """The root itself does nothing."""


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"counterflow {__version__}")
        raise typer.Exit


run.register(app)
orders.register(app)
reports.register(app)
streaming.register(app)
watch.register(app)
explain.register(app)
looks.register(app)
conflicts.register(app, looks.stations_app)
limits.register(app)
telemetry.register(app)
offers.register(app)
drivers.register(app)
certificates.register(app, looks.stations_app)
access.register(app)
iec104.register(app)
bench.register(app)
replay.register(app)
vtn.register(app)


def main() -> None:
    """Entry point of the console script."""
    app()
