"""The command about IEC 60870-5-104: the point list that an integrator hands to the grid operator."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from counterflow.adapters.iec104.points import PointRow
from counterflow.app.cli.shared import FailedError, WrongUsageError, screen
from counterflow.app.cli.tables import Column, column, figures, print_table, say, words

iec104_app = typer.Typer(help="IEC 60870-5-104, the line to a control system.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Put the command into the root."""
    app.add_typer(iec104_app, name="iec104", epilog="Example: counterflow iec104 points --config counterflow.toml")
    iec104_app.command("points", epilog="Example: counterflow iec104 points --config counterflow.toml --json")(points)


COLUMNS: list[Column[PointRow]] = [
    figures("Station", lambda row: str(row.common_address)),
    figures("Address", lambda row: str(row.address)),
    column("Direction", lambda row: row.direction, 2),
    column("Type", lambda row: f"{row.type} ({row.type_number})"),
    column("Unit", lambda row: row.unit),
    words("Point", lambda row: f"{row.point} ({row.note})" if row.note else row.point),
]


def points(
    config: Annotated[Path, typer.Option(envvar="COUNTERFLOW_CONFIG", metavar="FILE", help="Settings file (TOML) of the server.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """List the points of the outstation as configured, for the operator's control system. Works without the server."""
    from counterflow.adapters.iec104.points import point_list
    from counterflow.app.config import SettingsError, load  # brings in every room

    try:
        settings = load(config, {}, {})
    except SettingsError as error:
        raise WrongUsageError(str(error)) from None
    if not settings.iec104.stations:
        raise FailedError(f"The settings file {config} has no [[iec104.stations]]; docs/iec104.md shows one.")
    programs = {program.name: program for program in settings.programs}
    rows = [row for station in settings.iec104.stations for row in point_list(programs[station.program], station)]
    if as_json:
        typer.echo(msgspec.json.encode(rows))
        return
    print_table(screen(), rows, COLUMNS, empty="There are no points.")
    for station in settings.iec104.stations:
        (positive,) = {row.positive for row in rows if row.common_address == station.common_address and row.positive}
        say(screen(), f"Station {station.common_address} (program '{station.program}'): signed powers are positive for {positive}.")
