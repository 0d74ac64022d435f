"""The command `bench`."""

from pathlib import Path
from typing import Annotated

import typer

from counterflow.app.cli.shared import FailedError, WrongUsageError, screen


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: counterflow bench gateway --quick --json figures.json --against docs/measured-first.json")(bench)


def bench(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="allocation, ingest, gateway, fan_out, memory, storm; all when none.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures to this file, too.")] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Show these earlier figures beside the new ones: before, after, change."),
    ] = None,
    measured: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Measure nothing: take the new figures from this file. Needs --against.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller sizes, under a minute; not comparable with the full run.")] = False,
) -> None:
    """Measure how fast this machine runs Counterflow, and print the table that the README shows. Takes about five minutes."""
    try:
        from counterflow.app.bench import UnknownMeasurementError, run_bench  # brings in every room
        from counterflow.app.bench.comparison import NoMeasurementError, comparison_table, read_measured
    except ModuleNotFoundError as missing:
        raise FailedError(f"The bench needs the package '{missing.name}'; install counterflow[bench].") from None
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise WrongUsageError(f"The folder of '{json_file}' does not exist.")
    if measured is not None and against is None:
        raise WrongUsageError("--measured needs --against, the figures to compare with.")
    try:
        earlier = None if against is None else read_measured(against)
        if measured is not None and earlier is not None:
            screen().print(comparison_table(earlier, read_measured(measured)))
            return
        code = run_bench(names or (), json_file, screen(), quick, earlier=earlier)
    except (UnknownMeasurementError, NoMeasurementError) as error:
        raise WrongUsageError(str(error)) from None
    raise typer.Exit(code)
