"""Commands about what was delivered: report, in every format and version, and verify."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from counterflow.app.cli.api_client import DEFAULT_DATA_DIR, ApiClient, segment
from counterflow.app.cli.shared import FailedError, JsonOption, Server, WrongUsageError, asks_server, note, screen
from counterflow.app.cli.tables import clock, column, figures, print_table, say, whole
from counterflow.app.cli.words import verdict_words
from counterflow.domain.delivery import DeliveryReport
from counterflow.domain.settlement import ReportVersion
from counterflow.domain.units import parse_duration_s


class ReportFormat(StrEnum):
    """Formats of a report."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    PNG = "png"
    PDF = "pdf"


_PRINTED = frozenset({ReportFormat.JSON, ReportFormat.CSV})
_STEPS_S = (60.0, 900.0)
"""Grids of which `--all` writes a table each, beside the report's own."""

DispatchArgument = Annotated[str, typer.Argument(metavar="ID", help="The dispatch, as 'counterflow dispatches' shows it.")]
VersionOption = Annotated[int | None, typer.Option("--version", min=1, metavar="N", help="A version that is kept. Default: the newest.")]


def register(app: typer.Typer) -> None:
    """Put the commands into the root."""
    app.command(
        "report",
        epilog="Example: counterflow report d-1a2b3c4d --format pdf   or, everything: counterflow report d-1a2b3c4d --all --out folder",
    )(asks_server(report))
    app.command("verify", epilog="Example: counterflow verify d-1a2b3c4d   or   counterflow verify folder --json")(verify)


def report(
    server: Server,
    dispatch_id: DispatchArgument,
    report_format: Annotated[
        ReportFormat | None, typer.Option("--format", help="Without it the verdict is printed in words.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="File or folder to write to; - is standard output. Default: json and csv are printed, the others become a file here.",
        ),
    ] = None,
    version: VersionOption = None,
    step: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Step of the series: 4s, 1min, 15min. Default: that of the report.")
    ] = None,
    versions: Annotated[bool, typer.Option("--versions", help="List the versions that are kept, and what changed.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Write every format, the raw meter values and a SHA-256 manifest.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="--all: the folder to write to.")] = None,
    as_json: JsonOption = False,
) -> None:
    """What a dispatch has delivered."""
    _check(report_format, output, out, step, versions=versions, everything=everything, as_json=as_json)
    place = f"/dispatches/{segment(dispatch_id)}/report"
    asked = {} if version is None else {"version": float(version)}
    if step is not None:
        asked["step_s"] = parse_duration_s(step)
    with server.client() as client:
        if versions:
            _list_versions(client, place, server.around.now_s(), as_json=as_json)
            return
        if everything:
            _write_all(client, place, asked, out or Path(f"report-{Path(dispatch_id).name}"))
            return
        chosen = ReportFormat.JSON if report_format is None else report_format
        reply = client.get(place, {"format": chosen.value, **{name: f"{value:g}" for name, value in asked.items()}})
    if report_format is None:
        _print_verdict(screen(), reply.read(DeliveryReport), reply.text, as_json=as_json)
        return
    target = _destination(output, f"{dispatch_id}.{chosen.value}", chosen)
    if target is None:
        sys.stdout.buffer.write(reply.content)
        sys.stdout.buffer.flush()
        return
    _write(target, reply.content)
    note(f"Wrote {target} ({len(reply.content)} bytes).")


def _check(
    report_format: ReportFormat | None,
    output: Path | None,
    out: Path | None,
    step: str | None,
    *,
    versions: bool,
    everything: bool,
    as_json: bool,
) -> None:
    if everything and (report_format is not None or output is not None or versions or as_json or step is not None):
        raise WrongUsageError("--all writes every format and step into the folder of --out: leave the other options out.")
    if out is not None and not everything:
        raise WrongUsageError("--out is the folder of --all; one file goes to --output.")
    if versions and (report_format is not None or output is not None or step is not None):
        raise WrongUsageError("--versions is a list of its own: leave --format, --step and --output out.")
    if as_json and report_format is not None:
        raise WrongUsageError("--json prints the report itself: leave --format out.")
    if report_format is None and output is not None:
        raise WrongUsageError(f"--output needs a --format: {', '.join(each.value for each in ReportFormat)}.")


def _print_verdict(console: Console, made: DeliveryReport, text: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(text)
        return
    for line in verdict_words(made):
        say(console, line)


def _list_versions(client: ApiClient, place: str, now_s: float, *, as_json: bool) -> None:
    reply = client.get(f"{place}/versions")
    if as_json:
        typer.echo(reply.text)
        return
    console, found = screen(), reply.read(list[ReportVersion])
    print_table(
        console,
        found,
        [
            figures("Version", lambda each: whole(each.version)),
            column("Made", lambda each: clock(each.generated_at_s, now_s)),
            figures("Delivered Wh", lambda each: whole(each.delivered_energy_wh)),
            figures("+/- Wh", lambda each: whole(each.uncertainty_wh), 1),
            column("Data", lambda each: "not told" if each.quality is None else each.quality.value, 2),
        ],
        empty="No version is kept yet: a report is kept a minute after its dispatch has ended.",
        note="Times are UTC. No version is ever changed.",
    )
    for each in found:
        if each.revision is not None:
            say(console, f"Version {each.version}: {' '.join(each.revision.reasons)}")


def _write_all(client: ApiClient, place: str, asked: dict[str, float], folder: Path) -> None:
    """The report in every format and of one and the same version, what it was made from, and the sums of the files."""
    from counterflow.adapters.reports import FORMATS, render  # the formats bring in pyarrow and matplotlib
    from counterflow.adapters.reports.as_csv import series_file
    from counterflow.adapters.reports.as_evidence import EVIDENCE_ENDING
    from counterflow.adapters.reports.manifest import MANIFEST, manifest
    from counterflow.adapters.reports.names import file_name
    from counterflow.domain.series import regridded

    made = client.get(place, {"format": "json", **{name: f"{value:g}" for name, value in asked.items()}}).read(DeliveryReport)
    evidence = client.get(f"{place}/evidence", {"version": str(made.version)} if made.final else None).content
    files: dict[str, bytes] = {}
    for name in FORMATS:
        files |= render(made, name)
    for step_s in _STEPS_S:
        if made.series and step_s % made.series_step_s == 0.0:
            files |= series_file(regridded(made, step_s), f"-series-{step_s / 60.0:g}min.csv")
    files[file_name(made, EVIDENCE_ENDING)] = evidence
    files[MANIFEST] = manifest(files)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FailedError(f"The folder {folder} cannot be made: {error.strerror}.") from None
    for name, content in files.items():
        _write(folder / name, content)
    note(f"Wrote {len(files)} files to {folder}; check them with: counterflow verify {folder}")


def _write(target: Path, content: bytes) -> None:
    try:
        target.write_bytes(content)
    except OSError as error:
        raise FailedError(f"The report cannot be written to {target}: {error.strerror}.") from None


def _destination(output: Path | None, name: str, asked: ReportFormat) -> Path | None:
    """Where the report goes; None = standard output."""
    if output is None:
        return None if asked in _PRINTED else Path(Path(name).name)
    if str(output) == "-":
        return None
    return output / Path(name).name if output.is_dir() else output


def verify(
    name: Annotated[
        str, typer.Argument(metavar="REPORT", help="A report's .json file, the folder of 'report --all', or the ID of a dispatch.")
    ],
    version: VersionOption = None,
    data_dir: Annotated[
        Path, typer.Option("--data-dir", envvar="COUNTERFLOW_DATA_DIR", metavar="DIR", help="Data dir of the server, running or not.")
    ] = Path(DEFAULT_DATA_DIR),
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON and nothing else.")] = False,
) -> None:
    """Make a report again from the log and the raw meter values, and say whether it holds to the Wh.

    It reads the data dir, whether its server runs or not; without one, the meter values exported with the report. Nothing is changed.
    It ends with 1 when the report does not hold.
    """
    import msgspec

    from counterflow.app.settlement.verifying import CannotVerifyError
    from counterflow.app.settlement.verifying import verify as compare

    try:
        verdict = compare(name, data_dir, version)
    except CannotVerifyError as error:
        raise FailedError(str(error)) from None
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(verdict), indent=2).decode())
        raise typer.Exit(0 if verdict.holds else 1)
    console = screen()
    who = f"Report of dispatch {verdict.dispatch_id}, version {verdict.version}"
    if verdict.holds:
        say(console, f"{who}, holds: {verdict.delivered_energy_wh:,.0f} Wh delivered.", "bold green")
        say(console, f"It was made again from {verdict.source}: {verdict.samples:,} meter values of {verdict.members:,} sessions.")
        files = "Its files are those of the manifest." if verdict.manifest else "There is no manifest beside it to hold its files against."
        say(console, files)
        return
    say(console, f"{who}, DOES NOT HOLD.", "bold red")
    say(console, f"It was made again from {verdict.source}.")
    for sentence in verdict.differences:
        say(console, f"- {sentence}")
    raise typer.Exit(1)
