"""A grid operator's OpenADR server on a laptop: `counterflow vtn` runs it, and the commands under it play the operator."""

import asyncio
import socket
from ipaddress import ip_address
from typing import Annotated

import typer

from counterflow.adapters.openadr import models
from counterflow.app.cli.orders import QuantityCommand
from counterflow.app.cli.shared import FailedError, JsonOption, Surroundings, WrongUsageError, screen
from counterflow.app.cli.tables import print_table, say, visible
from counterflow.app.cli.vtn_operator import (
    OPERATOR,
    Operator,
    as_json_text,
    event_columns,
    read_one,
    report_columns,
    rows_of,
    setpoint_event,
)
from counterflow.app.cli.words import power
from counterflow.domain.grid import Sign
from counterflow.domain.units import format_instant, parse_discharge_power_w, parse_duration_s, parse_instant_s

PORT = 8081
BASE = "/openadr3/3.1.0"
VEN = "ven"
SECRETS = {OPERATOR: "operator-secret", VEN: "ven-secret"}
"""Known to everybody: good on this machine alone."""
_SHOWN = 20

UrlOption = Annotated[str, typer.Option("--url", metavar="URL", help="Address of the VTN.", envvar="OPENADR_VTN_URL")]
SecretOption = Annotated[
    str, typer.Option("--secret", metavar="SECRET", help="Client secret of `operator`.", envvar="OPENADR_OPERATOR_SECRET")
]
URL = f"http://127.0.0.1:{PORT}{BASE}"

vtn_app = typer.Typer(
    invoke_without_command=True,
    epilog="Example: counterflow vtn, in another terminal: counterflow vtn settings > counterflow.toml, "
    "OPENADR_VEN_SECRET=ven-secret counterflow serve --config counterflow.toml, and then: counterflow vtn order 100kW 15min. "
    "docs/openadr.md goes through it.",
)


def register(app: typer.Typer) -> None:
    """Put the commands into the root."""
    app.add_typer(vtn_app, name="vtn")


@vtn_app.callback()
def serve(
    ctx: typer.Context,
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Address to listen on; another than this machine's needs secrets.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65_535, help="Port; 0 takes a free one.")] = PORT,
    program: Annotated[str, typer.Option(metavar="NAME", help="Name of the program that it offers.")] = "v2g",
    operator_secret: Annotated[
        str, typer.Option(metavar="SECRET", envvar="OPENADR_OPERATOR_SECRET", help="Client secret of `operator`.")
    ] = SECRETS[OPERATOR],
    ven_secret: Annotated[str, typer.Option(metavar="SECRET", envvar="OPENADR_VEN_SECRET", help="Client secret of `ven`.")] = SECRETS[VEN],
) -> None:
    """Run a grid operator's OpenADR server (VTN) on this machine, to try out a program. It forgets everything when it stops."""
    if ctx.invoked_subcommand is not None:
        return
    if not _is_here(host) and {operator_secret, ven_secret} & set(SECRETS.values()):
        raise WrongUsageError(f"{host} is seen by others: set secrets of your own with --operator-secret and --ven-secret.")
    try:
        sock = socket.create_server((host, port))
    except OSError as error:
        raise FailedError(f"The VTN cannot listen on {host}:{port}: {error.strerror or error}.") from None
    with sock:
        asyncio.run(_serve(sock, host, program, {OPERATOR: operator_secret, VEN: ven_secret}))


async def _serve(sock: socket.socket, host: str, program: str, secrets: dict[str, str]) -> None:
    from counterflow.sim.vtn.clients import Client, Role  # brings in the server; the other commands need none
    from counterflow.sim.vtn.serving import build, server_of

    port = sock.getsockname()[1]
    roles = {OPERATOR: Role.BUSINESS_LOGIC, VEN: Role.VEN}
    clients: list[Client] = [Client(client_id=name, secret=secrets[name], role=role) for name, role in roles.items()]

    def heard(operation: models.Operation, thing: models.AnyObject) -> None:
        if isinstance(thing, models.Event | models.Report | models.Ven):
            say(screen(), f"{format_instant(round(vtn.house.now_s()))}  {_told(operation, thing)}")

    address = f"[{host}]" if ":" in host else host
    vtn = build(f"http://{address}:{port}", clients, heard=heard)
    vtn.house.store.create(clients[0], models.Program(program_name=program), models.Version.V3_1_0)
    typer.echo(_greeting(vtn.url(), vtn.url(models.Version.V3_0_1), program, secrets))
    await server_of(vtn, host, port).serve(sockets=[sock])


def _told(operation: str, thing: models.AnyObject) -> str:
    done = {"CREATE": "came", "UPDATE": "was changed", "DELETE": "is gone"}.get(operation, operation)
    name = getattr(thing, "event_name", None) or getattr(thing, "report_name", None) or getattr(thing, "ven_name", None) or thing.id
    return f"{type(thing).__name__} {visible(str(name))} {done}"


def _greeting(url: str, older_url: str, program: str, secrets: dict[str, str]) -> str:
    option = "" if url == URL else f" --url {url}"
    return f"""VTN of the program '{program}': {url}
OpenADR 3.0.1 as well:    {older_url}
For the VEN:              client_id {VEN}, client_secret {secrets[VEN]}
For the operator:         client_id {OPERATOR}, client_secret {secrets[OPERATOR]}

Settings for Counterflow: counterflow vtn settings{option} > counterflow.toml
Order:                    counterflow vtn order 100kW 15min{option}
What was reported:        counterflow vtn reports{option}
The same by hand:
  TOKEN=$(curl -s -d grant_type=client_credentials -d client_id={OPERATOR} -d client_secret={secrets[OPERATOR]} \\
    {url}/auth/token | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')
  PROGRAM=$(curl -s -H "Authorization: Bearer $TOKEN" {url}/programs | sed 's/.*"id":"\\([^"]*\\)".*/\\1/')
  curl -s -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" {url}/events -d '{{"programID":"'$PROGRAM'",
    "payloadDescriptors":[{{"objectType":"EVENT_PAYLOAD_DESCRIPTOR","payloadType":"DISPATCH_SETPOINT","units":"KW"}}],
    "intervalPeriod":{{"start":"0001-01-01T00:00:00Z","duration":"PT15M"}},
    "intervals":[{{"id":0,"payloads":[{{"type":"DISPATCH_SETPOINT","values":[-100]}}]}}]}}'
Ctrl-C stops it.
"""


@vtn_app.command("settings", epilog="Example: counterflow vtn settings > counterflow.toml")
def settings(
    url: UrlOption = URL,
    program: Annotated[str, typer.Option(metavar="NAME", help="Name of the program.")] = "v2g",
) -> None:
    """Print settings with which `counterflow serve` follows this VTN."""
    typer.echo(f"""[[programs]]
name = "{program}"
wire = "openadr"
sign = "load"                    # consumption is positive, so that an order to discharge is negative
unit = "kW"
max_discharge_power_w = 1e6

[[openadr.vtns]]
name = "laptop"
url = "{url}"
client_id = "{VEN}"
client_secret_env = "OPENADR_VEN_SECRET"
poll_s = 2.0
programs = [{{ program = "{program}" }}]""")


@vtn_app.command(
    "order",
    cls=QuantityCommand,
    epilog="Example: counterflow vtn order 2MW 15min --start 2026-11-22T17:00Z --report-every 1min",
)
def order(
    ctx: typer.Context,
    discharge: Annotated[str, typer.Argument(metavar="POWER", help="Discharge power with its unit: 2MW, 100kW.")],
    duration: Annotated[str, typer.Argument(metavar="DURATION", help="How long: 900s, 15min, 1h.")],
    start: Annotated[str | None, typer.Option(metavar="INSTANT", help="When, with its time zone. Default: now.")] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the event. Default: made from the time.")] = None,
    program: Annotated[str | None, typer.Option(metavar="NAME", help="Program. Default: the only one.")] = None,
    target: Annotated[list[str] | None, typer.Option(metavar="TARGET", help="For these only. May be given again and again.")] = None,
    sign: Annotated[Sign, typer.Option(metavar="load|generator", help="What a positive value of the program means.")] = Sign.LOAD,
    priority: Annotated[int | None, typer.Option(metavar="N", min=0, help="0 is the highest.")] = None,
    report_every: Annotated[str, typer.Option(metavar="DURATION", help="Length of its intervals, each of which is reported.")] = "1min",
    url: UrlOption = URL,
    secret: SecretOption = SECRETS[OPERATOR],
    as_json: JsonOption = False,
) -> None:
    """Post an event with DISPATCH_SETPOINT, and ask for reports on it."""
    around = _around(ctx)
    power_w, lasting_s, each_s = parse_discharge_power_w(discharge), parse_duration_s(duration), parse_duration_s(report_every)
    start_s = around.now_s() if start is None else parse_instant_s(start)
    with Operator(url, secret, around) as operator:
        ordered = operator.program(program)
        title = name or f"order-{format_instant(start_s)[11:19]}"
        made = operator.post(setpoint_event(ordered.id, title, power_w, sign, start_s, lasting_s, each_s, target, priority))
    if as_json:
        typer.echo(made.text)
        return
    posted = read_one(made, models.Event)
    say(screen(), f"Event {posted.id}: {power(power_w)} from {format_instant(start_s)} for {duration}. Reports: counterflow vtn reports")


@vtn_app.command("events", epilog="Example: counterflow vtn events --json")
def events(ctx: typer.Context, url: UrlOption = URL, secret: SecretOption = SECRETS[OPERATOR], as_json: JsonOption = False) -> None:
    """List the events that were posted."""
    with Operator(url, secret, _around(ctx)) as operator:
        pages = operator.all(models.Event, "/events")
    if as_json:
        typer.echo(as_json_text(pages))
        return
    print_table(screen(), pages, event_columns(), empty="No event was posted.")


@vtn_app.command("cancel", epilog="Example: counterflow vtn cancel event-1a2b3c-2")
def cancel(
    ctx: typer.Context,
    event_id: Annotated[str, typer.Argument(metavar="EVENT", help="Id of the event.")],
    url: UrlOption = URL,
    secret: SecretOption = SECRETS[OPERATOR],
) -> None:
    """Delete an event: that is how OpenADR cancels one."""
    with Operator(url, secret, _around(ctx)) as operator:
        operator.ask("DELETE", f"/events/{event_id}")
    say(screen(), f"Event {visible(event_id)} is gone.")


@vtn_app.command("reports", epilog="Example: counterflow vtn reports --event event-1a2b3c-2")
def reports(
    ctx: typer.Context,
    event: Annotated[str | None, typer.Option(metavar="EVENT", help="Of this event only.")] = None,
    everything: Annotated[bool, typer.Option("--all", help=f"Every interval, and not the last {_SHOWN}.")] = False,
    url: UrlOption = URL,
    secret: SecretOption = SECRETS[OPERATOR],
    as_json: JsonOption = False,
) -> None:
    """Show the reports that came in."""
    with Operator(url, secret, _around(ctx)) as operator:
        pages = operator.all(models.Report, "/reports", [("eventID", event)] if event else [])
    if as_json:
        typer.echo(as_json_text(pages))
        return
    rows = sorted((row for one in pages for row in rows_of(one)), key=lambda row: (row.from_s, row.report))
    print_table(screen(), rows if everything else rows[-_SHOWN:], report_columns(), empty="No report came in.")
    if len(rows) > _SHOWN and not everything:
        typer.echo(f"{len(rows) - _SHOWN} earlier intervals: --all shows them.", err=True)


def _around(ctx: typer.Context) -> Surroundings:
    return ctx.obj if isinstance(ctx.obj, Surroundings) else Surroundings()


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
