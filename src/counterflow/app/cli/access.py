"""Commands about access: tokens with their roles, and who changed what."""

from typing import Annotated

import typer

from counterflow.app.cli.api_client import segment
from counterflow.app.cli.shared import JsonOption, Server, asks_server, screen
from counterflow.app.cli.tables import Column, clock, column, figures, instant, print_table, say, words
from counterflow.domain.access import AuditEntry, TokenView
from counterflow.domain.units import parse_duration_s

tokens_app = typer.Typer(help="Tokens of the API and what they allow.", no_args_is_help=True)

LONGEST_S = 3650 * 86_400.0
"""How long a token may hold, and how far back one may look: ten years."""


def register(app: typer.Typer) -> None:
    """Put the commands into the root."""
    app.add_typer(tokens_app, name="tokens", epilog="Example: counterflow tokens add tso-north --role grid")
    app.command("audit", epilog="Example: counterflow audit --last 24h")(audit)


@tokens_app.command("add", epilog="Example: counterflow tokens add tso-north --role grid --for 365d")
@asks_server
def add(
    server: Server,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name for whoever holds it: letters, digits, . _ -")],
    role: Annotated[
        str,
        typer.Option(metavar="viewer|grid|operator|admin", help="viewer looks; grid orders; operator runs the fleet; admin gives access."),
    ],
    lasting: Annotated[str | None, typer.Option("--for", metavar="DURATION", help="Void after this time: 30d. Default: never.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token. It is printed once; only its digest is kept."""
    body: dict[str, object] = {"name": name, "role": role}
    if lasting is not None:
        body["expires_at_s"] = server.around.now_s() + parse_duration_s(lasting, LONGEST_S)
    with server.client() as client:
        reply = client.request("POST", "/tokens", body=body)
    if as_json:
        typer.echo(reply.text)
        return
    made = reply.read(TokenView)
    typer.echo(made.token)
    until = "" if made.expires_at_s is None else f", until {instant(made.expires_at_s)}"
    typer.echo(f"This is the token of {made.name} (role {made.role}{until}). It cannot be shown again.", err=True)


@tokens_app.command("list", epilog="Example: counterflow tokens list --json")
@asks_server
def listed(server: Server, as_json: JsonOption = False) -> None:
    """List the named tokens. The first one, in the data dir, is not among them."""
    with server.client() as client:
        reply = client.get("/tokens")
    if as_json:
        typer.echo(reply.text)
        return
    now_s = server.around.now_s()
    print_table(screen(), reply.read(list[TokenView]), _token_columns(now_s), empty="There are no named tokens.")


@tokens_app.command("revoke", epilog="Example: counterflow tokens revoke tso-north")
@asks_server
def revoke(server: Server, name: Annotated[str, typer.Argument(metavar="NAME", help="Whose token.")], as_json: JsonOption = False) -> None:
    """Take a token back; it is void at once."""
    with server.client() as client:
        reply = client.request("DELETE", f"/tokens/{segment(name)}")
    if as_json:
        typer.echo(reply.text)
        return
    say(screen(), f"The token of {reply.read(TokenView).name} is void.")


@asks_server
def audit(
    server: Server,
    last: Annotated[str | None, typer.Option("--last", metavar="DURATION", help="Of this time until now: 24h. Default: all.")] = None,
    most: Annotated[int, typer.Option("--most", metavar="N", min=1, max=5000, help="The newest so many.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Who asked for a change, when, what, and how it ended; newest first."""
    since_s = 0.0 if last is None else max(0.0, server.around.now_s() - parse_duration_s(last, LONGEST_S))
    with server.client() as client:
        reply = client.get("/audit", {"since_s": since_s, "most": most})
    if as_json:
        typer.echo(reply.text)
        return
    now_s = server.around.now_s()
    print_table(screen(), reply.read(list[AuditEntry]), _audit_columns(now_s), empty="Nobody has changed anything in that time.")


def _token_columns(now_s: float) -> list[Column[TokenView]]:
    return [
        column("Name", lambda view: view.name),
        column("Role", lambda view: view.role),
        column("Made", lambda view: clock(view.added_at_s, now_s), 1),
        column("By", lambda view: view.added_by, 2),
        column("Void from", lambda view: "never" if view.expires_at_s is None else clock(view.expires_at_s, now_s)),
    ]


def _audit_columns(now_s: float) -> list[Column[AuditEntry]]:
    return [
        column("When", lambda entry: clock(entry.at_s, now_s)),
        column("Who", lambda entry: entry.who),
        column("Role", lambda entry: entry.role, 1),
        figures("Status", lambda entry: str(entry.status)),
        words("What", lambda entry: entry.action),
    ]
