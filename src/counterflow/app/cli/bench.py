"""The command `bench`."""

from pathlib import Path
from typing import Annotated

import typer

from counterflow.app.cli.shared import FailedError, WrongUsageError, screen

SCENARIOS, LAG, OFFERS, REALTIME, SETTLEMENT = "scenarios", "lag", "offers", "realtime", "settlement"
IDENTIFICATION = "identification"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Example: counterflow bench gateway --quick --json figures.json --against docs/measured-first.json   or   "
        "counterflow bench scenarios --only 4,8   or   counterflow bench realtime --minutes 5 --stations 300"
    )(bench)


def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="allocation, ingest, gateway, fan_out, memory, storm, console; all of these when none. Or one of: "
            "scenarios, lag, identification, offers, realtime, settlement.",
        ),
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
    only: Annotated[str, typer.Option("--only", metavar="LIST", help="scenarios: only these, such as 4,8.")] = "",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="scenarios, lag, identification, settlement: so many plays of each.")] = 5,
    minutes: Annotated[float, typer.Option("--minutes", min=0.5, max=1_440.0, help="realtime: length of the window.")] = 15.0,
    stations: Annotated[int, typer.Option("--stations", metavar="N", min=1, max=100_000, help="realtime: number of stations.")] = 1_000,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="realtime: same seed, same cars, signal and leavers.")] = 1,
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="realtime: settings of the server (TOML).")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="scenarios, offers, realtime, settlement: where results go. Default: out/<name>."),
    ] = None,
) -> None:
    """Measure how fast this machine runs Counterflow, and print the table that the README shows. Takes about five minutes.

    `bench scenarios` measures how well the fleet follows its target instead: on simulated plants, beside an open loop and a PI
    controller, each figure with its goal. It ends with 1 where a goal was missed.

    `bench lag` measures what fights lag on a streamed target, each by itself: anticipation, ticks that come with a value, faster meters.

    `bench identification` measures how well delay and ramp of cars are told, within an event and after it, and what that brings the next.

    `bench offers` measures whether firm offers are as sure as they say, on days that the model has not seen.

    `bench realtime` lets stations over WebSockets follow a streamed target in real time, beside the same on the virtual clock, and ends
    with 1 where the two disagree.

    `bench settlement` holds reports against the truth: faulty registers, late messages, every grid, every baseline. It ends with 1 where a
    goal was missed.
    """
    try:
        if SCENARIOS in (names or ()):
            code = _scenarios(names or [], only, seeds, quick, out or Path("out") / SCENARIOS)
        elif LAG in (names or ()):
            code = _lag(names or [], seeds, quick)
        elif IDENTIFICATION in (names or ()):
            code = _identification(names or [], seeds, quick)
        elif OFFERS in (names or ()):
            code = _offers(names or [], quick, out or Path("out") / OFFERS)
        elif REALTIME in (names or ()):
            code = _realtime(names or [], (stations, minutes, seed), json_file, config, out or Path("out") / REALTIME)
        elif SETTLEMENT in (names or ()):
            code = _settlement(names or [], seeds, quick, json_file, out or Path("out") / SETTLEMENT)
        else:
            code = _speed(names or [], json_file, against, measured, quick)
    except ModuleNotFoundError as missing:
        raise FailedError(f"The bench needs the package '{missing.name}'; install counterflow[bench].") from None
    raise typer.Exit(code)


def _speed(names: list[str], json_file: Path | None, against: Path | None, measured: Path | None, quick: bool) -> int:
    from counterflow.app.bench import UnknownMeasurementError, run_bench  # brings in every room
    from counterflow.app.bench.comparison import NoMeasurementError, comparison_table, read_measured

    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise WrongUsageError(f"The folder of '{json_file}' does not exist.")
    if measured is not None and against is None:
        raise WrongUsageError("--measured needs --against, the figures to compare with.")
    try:
        earlier = None if against is None else read_measured(against)
        if measured is not None and earlier is not None:
            screen().print(comparison_table(earlier, read_measured(measured)))
            return 0
        return run_bench(names, json_file, screen(), quick, earlier=earlier)
    except (UnknownMeasurementError, NoMeasurementError) as error:
        raise WrongUsageError(str(error)) from None


def _scenarios(names: list[str], only: str, seeds: int, quick: bool, out: Path) -> int:
    from counterflow.app.bench.scenarios import Request, UnknownScenarioError, run_scenarios

    if names != [SCENARIOS]:
        raise WrongUsageError("`scenarios` is measured by itself: counterflow bench scenarios.")
    try:
        return run_scenarios(Request(only=only, seeds=seeds, quick=quick, folder=out), screen())
    except UnknownScenarioError as error:
        raise WrongUsageError(str(error)) from None
    except OSError as error:
        raise FailedError(f"The results cannot be written to '{out}': {error.strerror}.") from None


def _lag(names: list[str], seeds: int, quick: bool) -> int:
    from counterflow.app.bench.scenarios.lag import run_lag

    if names != [LAG]:
        raise WrongUsageError("`lag` is measured by itself: counterflow bench lag.")
    return run_lag(seeds, screen(), quick=quick)


def _identification(names: list[str], seeds: int, quick: bool) -> int:
    from counterflow.app.bench.scenarios.identification import run_identification

    if names != [IDENTIFICATION]:
        raise WrongUsageError("`identification` is measured by itself: counterflow bench identification.")
    return run_identification(seeds, screen(), quick=quick)


def _settlement(names: list[str], seeds: int, quick: bool, json_file: Path | None, out: Path) -> int:
    from counterflow.app.bench.settlement import run_settlement

    if names != [SETTLEMENT]:
        raise WrongUsageError("`settlement` is measured by itself: counterflow bench settlement.")
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise WrongUsageError(f"The folder of '{json_file}' does not exist.")
    try:
        return run_settlement(seeds, quick, out, json_file, screen())
    except OSError as error:
        raise FailedError(f"The results cannot be written to '{out}': {error.strerror}.") from None


def _realtime(names: list[str], course: tuple[int, float, int], json_file: Path | None, config: Path | None, out: Path) -> int:
    from counterflow.app.bench.realtime import Request, course_of, run_realtime
    from counterflow.app.config import SettingsError, load

    if names != [REALTIME]:
        raise WrongUsageError("`realtime` is measured by itself: counterflow bench realtime.")
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise WrongUsageError(f"The folder of '{json_file}' does not exist.")
    try:
        load(config, {}, {})  # before a quarter of an hour is spent on it
        return run_realtime(Request(course=course_of(*course), folder=out, json_file=json_file, config=config), screen())
    except SettingsError as error:
        raise WrongUsageError(str(error)) from None
    except OSError as error:
        raise FailedError(f"The results cannot be written to '{out}': {error.strerror}.") from None


def _offers(names: list[str], quick: bool, out: Path) -> int:
    from counterflow.app.bench.offers import OfferRequest, run_offers

    if names != [OFFERS]:
        raise WrongUsageError("`offers` is measured by itself: counterflow bench offers.")
    try:
        return run_offers(OfferRequest(folder=out, quick=quick), screen())
    except OSError as error:
        raise FailedError(f"The results cannot be written to '{out}': {error.strerror}.") from None
