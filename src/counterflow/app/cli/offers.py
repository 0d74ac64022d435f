"""Commands about firm offers: what a pool can surely give, commitments to it, and how earlier forecasts were kept."""

from typing import Annotated

import typer

from counterflow.app.cli.shared import JsonOption, Server, WrongUsageError, asks_server, refuse_options_before, screen
from counterflow.app.cli.tables import UNKNOWN, Column, column, figures, instant, kilo, print_table, say
from counterflow.app.cli.words import counted, length, power
from counterflow.domain.ids import ALL_SITES
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.offers import Commitment, CoverageView, Offer
from counterflow.domain.units import format_energy, format_power, parse_discharge_power_w, parse_duration_s

commitments_app = typer.Typer(help="Commitments to firm offers.", no_args_is_help=False)


def register(app: typer.Typer) -> None:
    """Put the commands into the root."""
    app.command("offer", epilog="Example: counterflow offer --window 60min --confidence 90%")(asks_server(offer))
    app.command("coverage", epilog="Example: counterflow coverage --pool north --mode relative")(asks_server(coverage))
    app.add_typer(
        commitments_app,
        name="commitments",
        epilog="Example: counterflow commitments, counterflow commitments make o-9b1d4e70 --power 400kW",
    )


def offer(
    server: Server,
    window: Annotated[str, typer.Option(metavar="DURATION", help="Length of the window, 5min to 24h.")] = "60min",
    confidence: Annotated[
        str | None, typer.Option(metavar="PERCENT", help="How surely it is there, 50% to 99.9%. Default: as the server is set, 90%.")
    ] = None,
    start: Annotated[str | None, typer.Option(metavar="INSTANT", help="When, with its time zone: 2026-11-22T17:00Z. Default: now.")] = None,
    pool: Annotated[str, typer.Option(metavar="NAME", help="Group of sites.")] = ALL_SITES,
    mode: Annotated[
        DispatchMode, typer.Option(help="What counts as delivery, as in an order; relative adds charging that is given up.")
    ] = DispatchMode.NET_EXPORT,
    as_json: JsonOption = False,
) -> None:
    """Tell what the cars can surely give over a whole window, how that comes about, and the same for windows from 5 min to 24 h."""
    asked: dict[str, str | float] = {"pool": pool, "mode": mode.value}
    if confidence is not None:
        asked["confidence"] = _share(confidence)
    if start is not None:
        asked["start"] = start
    with server.client() as client:
        reply = client.get("/offer", {**asked, "window_min": parse_duration_s(window) / 60.0})
        if as_json:
            typer.echo(reply.text)
            return
        told = reply.read(Offer)
        horizons = client.get("/offer/horizons", asked).read(list[Offer])
    for line in offer_words(told):
        say(screen(), line)
    print_table(screen(), horizons, _HORIZONS, empty="")


def offer_words(told: Offer) -> list[str]:
    """An offer and how it comes about, a sentence a line."""
    grounds = told.grounds
    percent = f"{told.confidence * 100.0:g} %"
    lines = [
        f"Offer {told.offer_id}: {power(told.power_w)} for {length(told.window_s)} from {instant(told.start_s)} with {percent} confidence "
        f"({format_energy(told.energy_wh)}; pool {told.pool}; mode {told.mode.value}).",
        "How it comes about:",
        f"  cars         {power(grounds.rated_power_w)} of {counted(grounds.sessions_counted, 'car')}; "
        f"{grounds.sessions} plugged in, {grounds.sessions_ready} of them free and ready.",
        f"  limits       {power(grounds.limited_power_w)} within the limits of sites and feeders.",
        f"  response     {power(grounds.responding_power_w)} as they are known to respond.",
        f"  energy       {power(grounds.lasting_power_w)} over the whole window, above floors and departure needs.",
        f"  departures   {power(grounds.median_power_w)} in the middle of all cases (P50); about "
        f"{counted(round(grounds.leaving_expected), 'car')} will leave early (learned from {grounds.departures_learned:.0f} departures).",
        f"  confidence   {power(told.model_power_w)} with {percent}; it would be {power(grounds.independent_power_w)} if cars did not "
        f"leave together (their rate varies by {grounds.shock_spread_frac * 100.0:.0f} %).",
        f"  drift guard  {told.guard_factor:.3f} of that, from how earlier forecasts were kept (counts below 1).",
        f"  reserve      {power(told.committable_power_w)} can be committed at most.",
    ]
    if grounds.given_up_power_w > 0.0:
        lines.insert(3, f"  charging     {power(grounds.given_up_power_w)} of that by charging less than they would.")
    if grounds.against_power_w > 0.0:
        lines.insert(6, f"  charging     {power(grounds.against_power_w)} of cars that must charge is taken off below.")
    if told.reserved_power_w > 0.0:
        lines.append(f"  reserved     {power(told.reserved_power_w)} is held for commitments.")
    lines += [f"  limit        {words}." for words in grounds.limits]
    lines.append(f"Commit to it until {instant(told.valid_until_s)}: counterflow commitments make {told.offer_id}")
    return lines


def coverage(
    server: Server,
    pool: Annotated[str | None, typer.Option(metavar="NAME", help="Only this pool.")] = None,
    mode: Annotated[DispatchMode | None, typer.Option(help="Only what counts as delivery in this mode.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how the forecasts of the last 30 days were kept: how often what was said was there, and how near it was."""
    with server.client() as client:
        asked = {"pool": pool, "mode": None if mode is None else mode.value}
        reply = client.get("/coverage", {name: value for name, value in asked.items() if value is not None})
    if as_json:
        typer.echo(reply.text)
        return
    print_table(screen(), reply.read(list[CoverageView]), _COVERAGE, empty="No forecast was judged yet.")


@commitments_app.callback(invoke_without_command=True)
@asks_server
def commitments(server: Server, as_json: JsonOption = False) -> None:
    """List offers and commitments, newest first."""
    if server.ctx.invoked_subcommand is not None:
        refuse_options_before(server.ctx)
        return
    with server.client() as client:
        reply = client.get("/commitments")
    if as_json:
        typer.echo(reply.text)
        return
    print_table(screen(), reply.read(list[Commitment]), _COMMITMENTS, empty="There is no offer and no commitment.")


@commitments_app.command("make", epilog="Example: counterflow commitments make o-9b1d4e70 --power 400kW")
@asks_server
def make(
    server: Server,
    offer_id: Annotated[str, typer.Argument(metavar="OFFER", help="The offer, as counterflow offer named it.")],
    amount: Annotated[str | None, typer.Option("--power", metavar="POWER", help="How much of it: 400kW. Default: all.")] = None,
    holder: Annotated[str | None, typer.Option(metavar="NAME", help="Whose orders call it. Default: those of this token.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Commit to an offer: it is held for its holder, and other orders are committed that much less."""
    body = {"offer_id": offer_id, "power_w": None if amount is None else parse_discharge_power_w(amount), "holder": holder}
    with server.client() as client:
        reply = client.request("POST", "/commitments", body=body)
    if as_json:
        typer.echo(reply.text)
        return
    done = reply.read(Commitment)
    window = f"from {instant(done.start_s)} for {length(done.offer.window_s)}"
    say(screen(), f"Committed: {format_power(done.power_w)} {window}, held for {done.committed_by}.")


@commitments_app.command("withdraw", epilog="Example: counterflow commitments withdraw o-9b1d4e70")
@asks_server
def withdraw(
    server: Server,
    commitment_id: Annotated[str, typer.Argument(metavar="COMMITMENT", help="The commitment, as counterflow commitments names it.")],
    as_json: JsonOption = False,
) -> None:
    """Take an offer or a commitment back that nothing was ordered from."""
    with server.client() as client:
        reply = client.request("DELETE", f"/commitments/{commitment_id}")
    if as_json:
        typer.echo(reply.text)
        return
    say(screen(), f"Commitment {commitment_id} is withdrawn; nothing is held for it any more.")


def _share(text: str) -> float:
    """`90%` or `0.9`. Raises `WrongUsageError`."""
    bare = text.strip()
    try:
        share = float(bare.removesuffix("%")) / (100.0 if bare.endswith("%") else 1.0)
    except ValueError:
        share = 0.0
    if not 0.5 <= share <= 0.999:
        raise WrongUsageError(f"'{text}' is no confidence: write it between 50% and 99.9%, such as 90%.")
    return share


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100.0:.1f}"


def _level(place: int) -> Column[Offer]:
    name = ("P50", "P90", "P95", "P99")[place]
    return figures(f"{name} kW", lambda told: kilo(told.levels[place].power_w))


_HORIZONS = [
    column("Window", lambda told: length(told.window_s)),
    *(_level(place) for place in range(4)),
    figures("P90 kWh", lambda told: kilo(told.levels[1].energy_wh), 1),
    figures("Most kWh", lambda told: kilo(told.levels[1].deliverable_energy_wh), 2),
    figures("Offered kW", lambda told: kilo(told.power_w), 3),
]
_COVERAGE: list[Column[CoverageView]] = [
    column("Pool", lambda view: view.pool),
    column("Window", lambda view: length(view.window_s)),
    column("Mode", lambda view: view.mode.value),
    figures("Nominal %", lambda view: _percent(view.confidence)),
    figures("Kept %", lambda view: _percent(view.reached_frac)),
    column(
        "95 % interval",
        lambda view: f"{_percent(view.reached_low_frac)}..{_percent(view.reached_high_frac)}",
        2,
    ),
    figures("Forecasts", lambda view: str(view.forecasts), 1),
    figures("With guard %", lambda view: _percent(view.guarded_reached_frac), 3),
    figures("Sharpness %", lambda view: _percent(view.sharpness_frac), 4),
    figures("Dispatched %", lambda view: _percent(view.dispatched_share_frac), 5),
]


def _delivered(one: Commitment) -> str:
    """By the final reports of the dispatches that called it, of what they ordered."""
    told = [(call.delivered_energy_wh, call.ordered_energy_wh) for call in one.calls if call.delivered_energy_wh is not None]
    given_wh, asked_wh = sum(given for given, _ in told), sum(asked or 0.0 for _, asked in told)
    return f"{kilo(given_wh, 2)} of {kilo(asked_wh, 2)}" if told else UNKNOWN


_COMMITMENTS: list[Column[Commitment]] = [
    column("Offer", lambda one: one.commitment_id),
    column("State", lambda one: one.state.value),
    column("Pool", lambda one: one.offer.pool, 4),
    column("Mode", lambda one: one.offer.mode.value, 7),
    column("From", lambda one: instant(one.start_s)),
    column("For", lambda one: length(one.offer.window_s)),
    figures("Offered kW", lambda one: kilo(one.offer.power_w), 3),
    figures("Committed kW", lambda one: kilo(one.power_w)),
    column("Held for", lambda one: one.committed_by or "-", 1),
    figures("Delivered of kWh", _delivered, 2),
    column("Data", lambda one: ", ".join(dict.fromkeys(call.quality.value for call in one.calls if call.quality)) or UNKNOWN, 4),
    column("Called by", lambda one: ", ".join(f"{call.dispatch_id}{' (off)' * call.called_off}" for call in one.calls) or UNKNOWN, 5),
    column("Why", lambda one: one.reason or UNKNOWN, 6),
]
