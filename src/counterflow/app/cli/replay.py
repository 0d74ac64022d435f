"""The commands `replay` and `soak`: the deterministic simulation, one seed or as long as one likes."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from counterflow.app.cli.shared import FailedError, WrongUsageError, screen
from counterflow.app.cli.tables import say
from counterflow.domain.units import parse_duration_s

if TYPE_CHECKING:
    from counterflow.app.simulation.run import Outcome

TROUBLE, DEMO = "trouble", "demo"
LINES_SHOWN = 60
DEMO_STATIONS, DEMO_LENGTH = 200, "4min"
SOCKET_STATIONS = 2000


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: counterflow replay 7 --trace   or   counterflow replay --scenario demo --seeds 12")(replay)
    app.command(epilog="Example: counterflow soak --for 10min   or   counterflow soak --sockets --for 3min")(soak)


def replay(
    seed: Annotated[int | None, typer.Argument(metavar="[SEED]", min=0, help="Play this one seed.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=1000, help="Play seeds 1 to N.")] = 1,
    scenario: Annotated[
        str, typer.Option("--scenario", metavar="trouble|demo", help="Faults of every kind, or the demo's dispatch.")
    ] = TROUBLE,
    trace: Annotated[bool, typer.Option("--trace", help="Print the last events of the seed (trouble).")] = False,
    stations: Annotated[
        int | None, typer.Option("--stations", min=2, max=20_000, help="Stations, one car each: 10 in trouble, 200 in the demo.")
    ] = None,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="Length of the faults (7min) or of the demo's dispatch (4min).")
    ] = None,
    drop_out: Annotated[float, typer.Option("--drop-out", min=0.0, max=0.9, help="Share of the cars that leave half-way (demo).")] = 0.1,
    modern: Annotated[bool, typer.Option("--modern", help="Faster cars: delay 0.5 to 2 s, ramps of 5 to 20 kW/s (demo).")] = False,
) -> None:
    """Play a seed on a virtual clock, the same run each time: the whole server and its stations in one process.

    With faults of every kind every invariant is checked all the time; an invariant that does not hold is a breach, and the seed
    plays it again. The demo's scenario judges how well the demo's promise is kept.
    """
    if seed is not None and seeds != 1:
        raise WrongUsageError("Name one SEED, or ask for several with --seeds, not both.")
    numbers = [seed] if seed is not None else list(range(1, seeds + 1))
    if scenario == DEMO:
        _demo(numbers, stations or DEMO_STATIONS, parse_duration_s(duration or DEMO_LENGTH), drop_out, modern=modern)
    elif scenario == TROUBLE:
        _trouble(numbers, stations, None if duration is None else parse_duration_s(duration), trace=trace)
    else:
        raise WrongUsageError(f"There is no scenario '{scenario}'; there are {TROUBLE} and {DEMO}.")


def _trouble(numbers: list[int], stations: int | None, active_s: float | None, *, trace: bool) -> None:
    from counterflow.app.simulation.run import simulate  # brings in the whole server
    from counterflow.app.simulation.settings import sized

    console, broken = screen(), 0
    settings = sized(stations, active_s)
    say(console, " seed  simulated  faults  crashes  run               verdict")
    for number in numbers:
        outcome = simulate(number, settings)
        broken += bool(outcome.breaches)
        say(console, _row(outcome))
        for breach in outcome.breaches:
            say(console, f"       {breach}")
        if trace:
            for line in outcome.trace[-LINES_SHOWN:]:
                say(console, line)
    say(console, f"Every invariant held on {len(numbers) - broken} of {len(numbers)} seeds.")
    if broken:
        raise typer.Exit(1)


def _row(outcome: "Outcome") -> str:
    verdict = "BREACH" if outcome.breaches else "all held"
    return (
        f"{outcome.seed:5}  {outcome.simulated_s / 60:5.0f} min  {sum(outcome.counts.values()):6}  {outcome.lives - 1:7}  "
        f"{outcome.digest}  {verdict}"
    )


def _demo(numbers: list[int], stations: int, duration_s: float, drop_out: float, *, modern: bool) -> None:
    """The last column counts profiles of ours that remained plus objections of stations."""
    from counterflow.app.demo.rehearsal import Scenario, rehearse  # brings in the whole server
    from counterflow.sim.settings import PlantSettings

    plant = PlantSettings.modern() if modern else PlantSettings()
    played = Scenario(stations=stations, duration_s=duration_s, drop_out=drop_out, plant=plant)
    console, kept, count = screen(), 0, 0
    say(console, "seed  target kW  within 2 % after  worst 10 s mean   RMSE  messages/car  left")
    for number in numbers:
        try:
            one = rehearse(number, played)
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


def soak(
    lasting: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long to look for a breach.")] = "10min",
    first: Annotated[int | None, typer.Option("--first-seed", min=0, help="The first seed; drawn afresh when it is not given.")] = None,
    stations: Annotated[int | None, typer.Option("--stations", min=2, max=20_000, help="Stations in each run.")] = None,
    sockets: Annotated[
        bool, typer.Option("--sockets", help="One real server that is killed, real connections that break, at the speed of life.")
    ] = False,
) -> None:
    """Play fresh seeds of the simulation with faults, and say what was tried and what broke."""
    if sockets:
        _soak_sockets(stations or SOCKET_STATIONS, parse_duration_s(lasting), first)
        return
    from counterflow.app.simulation.soak import soak_for  # brings in the whole server

    console = screen()
    result = soak_for(parse_duration_s(lasting), first_seed=first, stations=stations, on_breach=lambda outcome: _broken(console, outcome))
    for name, count in sorted(result.counts.items(), key=lambda item: -item[1]):
        say(console, f"{count:8}  {name}")
    say(
        console,
        f"{result.simulated_s / 3600:.1f} simulated hours, {result.seeds} seeds from {result.first_seed} on, "
        f"{sum(result.counts.values())} faults and acts, {result.crashes} crashes, {result.breaches} breaches.",
    )
    if result.breaches:
        raise typer.Exit(1)


def _soak_sockets(stations: int, lasting_s: float, seed: int | None) -> None:
    from counterflow.app.simulation.sockets import soak_sockets

    console = screen()
    result = soak_sockets(stations, lasting_s, 1 if seed is None else seed, lambda words: say(console, words))
    for name, count in sorted(result.faults.items(), key=lambda item: -item[1]):
        say(console, f"{count:8}  {name}")
    for words, found in (
        ("at stations and not in the journal after a kill", result.stray),
        ("still in the ledger", result.in_ledger),
        ("still at stations", result.at_stations),
        ("broken rules", result.violations),
    ):
        say(console, f"{len(found):8}  {words}")
    say(
        console,
        f"{result.connected} of {result.stations} stations are connected after {result.took_s:.0f} s; ledger and stations are "
        f"{'equal and empty' if result.held else 'NOT as they should be'}.",
    )
    if not result.held:
        raise typer.Exit(1)


def _broken(console: Console, outcome: "Outcome") -> None:
    say(console, f"BREACH at seed {outcome.seed}: {outcome.breaches[0]}")
    say(console, f"  again: counterflow replay {outcome.seed} --trace")
