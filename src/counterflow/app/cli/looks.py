"""Commands that look: fleet, sessions, stations; and those that register stations or call one."""

import json
import sys
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
import typer

from counterflow.adapters.ocpp.credentials import LONGEST_PASSWORD, SHORTEST_PASSWORD, new_password
from counterflow.app.cli import station_page
from counterflow.app.cli.api_client import ApiClient, ApiError, segment
from counterflow.app.cli.shared import (
    FailedError,
    JsonOption,
    Server,
    WrongUsageError,
    asks_server,
    refuse_options_before,
    screen,
)
from counterflow.app.cli.tables import (
    Column,
    clock,
    column,
    figures,
    instant,
    kilo,
    percent,
    print_facts,
    print_table,
    say,
    span,
    visible,
    whole,
    words,
    yes_no,
)
from counterflow.app.cli.words import counted, power
from counterflow.domain.reasons import REASON_WORDS, Reason
from counterflow.domain.session_views import SessionView
from counterflow.domain.station_views import CallAnswer, StationView
from counterflow.domain.units import format_energy
from counterflow.domain.views import FleetView

ROWS_SHOWN = 500

stations_app = typer.Typer(help="Stations that may connect.", no_args_is_help=False)


def register(app: typer.Typer) -> None:
    """Put the commands into the root."""
    app.command("fleet", epilog="Example: counterflow fleet")(asks_server(fleet))
    app.command("sessions", epilog="Example: counterflow sessions --limit 20")(asks_server(sessions))
    app.command("call", epilog="""Example: counterflow call CS-1 Reset '{"type": "OnIdle"}'""")(asks_server(call))
    station_page.register(stations_app)
    app.add_typer(stations_app, name="stations", epilog="Example: counterflow stations, counterflow stations add CS-1")


def fleet(
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Show the whole fleet: what is connected, what it gives, what it could give."""
    with server.client() as client:
        reply = client.get("/fleet")
    if as_json:
        typer.echo(reply.text)
        return
    print_facts(screen(), fleet_facts(reply.read(FleetView)))


def fleet_facts(view: FleetView) -> list[tuple[str, str]]:
    """The fleet in words, discharge positive."""
    unmeasured = f", {counted(view.unmeasured_sessions, 'session')} not measured" if view.unmeasured_sessions else ""
    facts = [
        ("As of", instant(view.at_s)),
        ("Stations", f"{view.stations_connected} connected of {view.stations_known} known"),
        ("Sessions", f"{view.sessions_ready} can be discharged, of {view.sessions}"),
    ]
    for name, count in sorted(view.reasons.items(), key=lambda item: -item[1]):
        if name != Reason.READY.name.lower():
            facts.append(("", f"{count}: {_reason_words(name)}"))
    facts += [
        ("Power now", f"{power(view.measured_power_w)}, data {view.quality.value}{unmeasured} (discharge is positive)"),
        ("Available", f"{power(view.available_power_w)}, {format_energy(view.available_energy_wh)} (an order for 15 min)"),
        ("Target", "no dispatch is running" if view.target_power_w is None else power(view.target_power_w)),
    ]
    if view.headroom_power_w is not None:
        facts.append(("Headroom", power(view.headroom_power_w)))
    if view.running_dispatches:
        facts.append(("Dispatches", ", ".join(view.running_dispatches)))
    facts += [
        ("Profiles", f"{view.profiles_placed} of ours at the stations"),
        ("Messages", f"{view.messages_sent} about profiles sent since the start, {view.drop_outs} drop-outs"),
        ("Emergency", "THE EMERGENCY STOP IS ON" if view.emergency_stop else "stop is off"),
    ]
    return facts


READY = Reason.READY.name.lower()


def _reason_words(name: str) -> str:
    """Words of a reason; one that this version does not know is shown as it is named."""
    try:
        return REASON_WORDS[Reason[name.upper()]]
    except KeyError:
        return name.replace("_", " ")


def sessions(
    server: Server,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="Rows shown at most; 0 = all.")] = ROWS_SHOWN,
    as_json: JsonOption = False,
) -> None:
    """List the open sessions, and why each can or cannot be discharged now."""
    with server.client() as client:
        reply = client.get("/sessions")
    if as_json:
        typer.echo(reply.text)
        return
    views = reply.read(list[SessionView])
    ready, pausing = sum(view.reason == READY for view in views), sum(can_be_paused(view) for view in views)
    print_table(
        screen(),
        views if limit == 0 else views[:limit],
        session_columns(server.around.now_s()),
        empty="There are no open sessions.",
        note=f"{_shown(views, limit)}{ready} of {len(views)} sessions can be discharged"
        f"{f', {pausing} more can be paused' if pausing else ''}. Discharge is positive.",
    )


def session_columns(now_s: float) -> list[Column[SessionView]]:
    """The columns of the list of sessions."""
    return [
        column("Station", lambda view: view.station_id),
        figures("EVSE", lambda view: whole(view.evse_id), 5),
        figures("SoC %", lambda view: percent(view.soc_frac), 1),
        figures("Floor %", lambda view: percent(view.soc_floor_frac), 6),
        figures("Spare kWh", lambda view: kilo(view.energy_above_floor_wh), 7),
        figures("Now kW", lambda view: kilo(view.power_w)),
        figures("Set kW", lambda view: kilo(view.setpoint_w), 2),
        figures("Can kW", lambda view: kilo(view.available_power_w), 3),
        figures("Age", lambda view: span(view.power_age_s), 4),
        column("Leaves", lambda view: clock(view.departure_s, now_s), 8),
        column("Setpoint", lambda view: view.setpoint_state, 10),
        column("Dispatch", lambda view: view.dispatch_id or "-", 9),
        column("Site", lambda view: view.site_id, 11),
        column("Transaction", lambda view: view.transaction_id, 12),
        words("Why", why, least_width=24),
    ]


_SAID_OF_MOST = frozenset({"no_pause_consent", "no_session"})
"""Reasons against a pause that are the rule where nobody asked for it."""


def why(view: SessionView) -> str:
    """Why a car can or cannot be discharged, and whether it may be paused instead: where its driver agreed to that, also why not now."""
    if can_be_paused(view):
        return f"{view.reason_text}; {view.pausing_text}"
    if view.reason == READY or view.pausing in {view.reason, *_SAID_OF_MOST}:
        return view.reason_text
    return f"{view.reason_text}; not paused: {view.pausing_text}"


def can_be_paused(view: SessionView) -> bool:
    """A car that is not discharged and gives a relative order by charging less."""
    return view.pausing == READY != view.reason


@stations_app.callback(invoke_without_command=True)
@asks_server
def stations(
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """List the stations, or register, show and remove one."""
    if server.ctx.invoked_subcommand is None:
        _list_stations(server, ROWS_SHOWN, as_json=as_json)
    else:
        refuse_options_before(server.ctx)


@stations_app.command("list", epilog="Example: counterflow stations list --json")
@asks_server
def stations_list(
    server: Server,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="Rows shown at most; 0 = all.")] = ROWS_SHOWN,
    as_json: JsonOption = False,
) -> None:
    """List the stations that are registered or were let in."""
    _list_stations(server, limit, as_json=as_json)


def _list_stations(server: Server, limit: int, *, as_json: bool) -> None:
    with server.client() as client:
        reply = client.get("/stations")
    if as_json:
        typer.echo(reply.text)
        return
    views = reply.read(list[StationView])
    connected = sum(view.connected for view in views)
    print_table(
        screen(),
        views if limit == 0 else views[:limit],
        station_columns(server.around.now_s()),
        empty="No station is registered. Register one: counterflow stations add CS-1",
        note=f"{_shown(views, limit)}{connected} of {counted(len(views), 'station')} connected.",
    )


def station_columns(now_s: float) -> list[Column[StationView]]:
    """The columns of the list of stations."""
    return [
        column("Station", lambda view: view.station_id),
        column("Online", lambda view: yes_no(view.connected)),
        figures("Seen", lambda view: "-" if view.last_seen_s is None else span(max(0.0, now_s - view.last_seen_s)), 2),
        column("Model", lambda view: f"{view.identity.vendor_name} {view.identity.model}".strip() or "-", 3),
        figures("EVSEs", lambda view: whole(len(view.evses)) if view.evses else "-", 4),
        column("V2X", _control_modes, 1),
        figures("Sessions", lambda view: whole(view.sessions), 5),
        figures("Profiles", lambda view: whole(view.profiles), 6),
        column("Site", lambda view: view.site_id, 7),
        column("Password", lambda view: yes_no(view.password_set), 8),
        column("Registered", lambda view: yes_no(view.registered), 9),
        figures("Meter s", lambda view: whole(view.meter_interval_s), 10),
        figures("Refusals", lambda view: whole(len(view.refusals)), 11),
    ]


def _control_modes(view: StationView) -> str:
    return ", ".join(sorted({evse.control_mode.name.lower() for evse in view.evses})) or "-"


def _shown(views: list[Any], limit: int) -> str:
    return f"The first {limit} of {len(views)} are shown (--limit 0 shows all). " if 0 < limit < len(views) else ""


@stations_app.command("add", epilog="Example: counterflow stations add CS-1 --site depot")
@asks_server
def stations_add(
    server: Server,
    station_id: Annotated[str, typer.Argument(metavar="ID", help="Identity of the station, as in its OCPP address.")],
    site: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Site it stands at. Default: a known station keeps its site, a new one gets the server's default."
        ),
    ] = None,
    password: Annotated[
        str | None, typer.Option(metavar="ask|-", help="ask: type the password; -: read it from standard input.", show_default=False)
    ] = None,
    no_password: Annotated[bool, typer.Option("--no-password", help="Ask the station for none (trusted network only).")] = False,
    generate: Annotated[
        bool, typer.Option("--generate-password", help="Make one and print it once (with --json as `password`); this is the default.")
    ] = False,
    profile: Annotated[int, typer.Option(min=1, max=3, metavar="1|2|3", help="Lowest security profile that it may come in by.")] = 1,
    serial: Annotated[str | None, typer.Option(metavar="TEXT", help="Serial number that its certificate names (profile 3).")] = None,
    as_json: JsonOption = False,
) -> None:
    """Register a station so that it may connect; a known one gets the new password, and the new site if one is named."""
    if sum((password is not None, no_password, generate)) > 1:
        raise WrongUsageError("Choose one of --password, --no-password and --generate-password.")
    secret, generated = _station_password(password, no_password=no_password)
    body: dict[str, object] = {"station_id": station_id, "password": secret, "security_profile": profile}
    if serial is not None:
        body["serial_number"] = serial
    if site is not None:
        body["site_id"] = site
    with server.client() as client:
        former_site = None if site is None else _site_now(client, station_id)
        reply = client.request("POST", "/stations", body=body)
    if as_json:
        told = reply.read(dict[str, object])
        typer.echo(msgspec.json.encode(told | {"password": secret} if generated else told).decode())
        return
    view, console = reply.read(StationView), screen()
    moved = f", moved from {former_site}" if former_site not in (None, view.site_id) else ""
    say(console, f"Station {view.station_id} is registered at site {view.site_id}{moved}.")
    if generated and secret is not None:
        say(console, "Its password, shown only now:")
        typer.echo(secret)
    elif secret is None:
        say(console, "It connects without a password.")


def _site_now(client: ApiClient, station_id: str) -> str | None:
    """Where a known station stands; None for one that is new."""
    try:
        return client.get(f"/stations/{segment(station_id)}").read(StationView).site_id
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise


def _station_password(password: str | None, *, no_password: bool) -> tuple[str | None, bool]:
    """The password to register, and whether it was made here."""
    if no_password:
        return None, False
    if password is None:
        return new_password(), True
    if password == "-":
        secret = sys.stdin.readline().rstrip("\r\n")
    elif password.lower() == "ask":
        secret = str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    else:
        raise WrongUsageError(
            "A password on the command line would stay in the shell's history: use --password ask, or --password - to pipe it in."
        )
    if not SHORTEST_PASSWORD <= len(secret) <= LONGEST_PASSWORD:
        raise WrongUsageError(f"A station's password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters; this one has {len(secret)}.")
    return secret, False


@stations_app.command("remove", epilog="Example: counterflow stations remove CS-1")
@asks_server
def stations_remove(
    server: Server,
    station_id: Annotated[str, typer.Argument(metavar="ID", help="Identity of the station.")],
    as_json: JsonOption = False,
) -> None:
    """Forget a station and close its connection."""
    with server.client() as client:
        reply = client.request("DELETE", f"/stations/{segment(station_id)}")
    if as_json:
        typer.echo(reply.text)
        return
    say(screen(), f"Station {station_id} is removed; it can no longer connect as a registered station.")


def call(
    server: Server,
    station_id: Annotated[str, typer.Argument(metavar="STATION", help="Identity of the station.")],
    action: Annotated[str, typer.Argument(help="OCPP action, such as GetVariables or Reset.")],
    payload: Annotated[str, typer.Argument(metavar="[JSON]", help="The request as a JSON object; - reads it from standard input.")] = "{}",
    as_json: JsonOption = False,
) -> None:
    """Send any OCPP request to a station and print its answer."""
    request = _json_object(sys.stdin.read() if payload == "-" else payload)
    with server.client() as client:
        reply = client.request("POST", f"/stations/{segment(station_id)}/calls", body={"action": action, "payload": request})
    answer = reply.read(CallAnswer)
    if as_json:
        typer.echo(reply.text)
    elif answer.error_code is None:
        typer.echo(json.dumps(answer.payload, indent=2))
    if answer.error_code is not None:
        text = f": {visible(answer.error_text)}" if answer.error_text else ""
        raise FailedError(f"Station {station_id} answered {answer.action} with the error {answer.error_code}{text}.")


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise WrongUsageError(f'The request is not JSON: {error}. Quote it for the shell, like \'{{"type": "OnIdle"}}\'.') from None
    if not isinstance(value, dict):
        raise WrongUsageError('The request must be a JSON object, like \'{"type": "OnIdle"}\'.')
    return value
