"""The command `replay`."""

from typing import Annotated

import typer

from counterflow.app.cli.shared import FailedError, WrongUsageError, screen
from counterflow.app.cli.tables import say
from counterflow.domain.units import parse_duration_s


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: counterflow replay 7   or   counterflow replay --seeds 12")(replay)


def replay(
    seed: Annotated[int | None, typer.Argument(metavar="[SEED]", min=0, help="Play this one seed.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=1000, help="Play seeds 1 to N.")] = 1,
    stations: Annotated[int, typer.Option("--stations", min=1, max=20_000, help="Number of stations, one car each.")] = 200,
    duration: Annotated[str, typer.Option("--for", metavar="DURATION", help="Length of the dispatch, such as 4min.")] = "4min",
    drop_out: Annotated[float, typer.Option("--drop-out", min=0.0, max=0.9, help="Share of the cars that leave half-way.")] = 0.1,
    modern: Annotated[bool, typer.Option("--modern", help="Faster cars: delay 0.5 to 2 s, ramps of 5 to 20 kW/s.")] = False,
) -> None:
    """Play the demo's dispatch on a virtual clock: the same seed gives the same run, and many seeds a fair judgement.

    The last column counts profiles of ours that remained plus objections of stations.
    """
    from counterflow.app.demo.rehearsal import Scenario, rehearse  # brings in the whole server
    from counterflow.sim.settings import PlantSettings

    if seed is not None and seeds != 1:
        raise WrongUsageError("Name one SEED, or ask for several with --seeds, not both.")
    plant = PlantSettings.modern() if modern else PlantSettings()
    scenario = Scenario(stations=stations, duration_s=parse_duration_s(duration), drop_out=drop_out, plant=plant)
    console, kept, count = screen(), 0, 0
    say(console, "seed  target kW  within 2 % after  worst 10 s mean   RMSE  messages/car  left")
    for number in [seed] if seed is not None else range(1, seeds + 1):
        try:
            one = rehearse(number, scenario)
        except RuntimeError as error:
            raise FailedError(f"Seed {number} could not be played: {error}") from None
        verdict, count = one.verdict, count + 1
        kept += one.kept
        after = "never" if one.in_band_after_s is None else f"{one.in_band_after_s:.0f} s"
        worst = "unknown" if verdict.worst_frac is None else f"{verdict.worst_frac:+.2%}"
        rmse = "unknown" if verdict.rmse_frac is None else f"{verdict.rmse_frac:.2%}"
        behind = f"{one.remaining}+{one.violations}" if one.remaining or one.violations else "nothing"
        say(
            console,
            f"{number:4}  {one.target_power_w / 1e3:9.0f}  {after:>16}  {worst:>15}  {rmse:>5}  "
            f"{one.messages / max(1, one.members):12.2f}  {behind}",
        )
    say(console, f"The promise (ten-second means within 3 %) was kept on {kept} of {count} seeds.")
    if kept < count:
        raise typer.Exit(1)
