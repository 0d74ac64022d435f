"""`counterflow explain`: why a car was given what it was given, or nothing."""

import re
from datetime import UTC, datetime
from typing import Annotated

import typer

from counterflow.app.cli.api_client import ApiClient
from counterflow.app.cli.shared import FailedError, JsonOption, Server, asks_server, screen
from counterflow.app.cli.tables import say
from counterflow.domain.session_views import ExplanationView, SessionView
from counterflow.domain.station_views import StationView
from counterflow.domain.units import format_instant, parse_instant_s
from counterflow.domain.views import FleetView

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?Z?")


def register(app: typer.Typer) -> None:
    """Put the command into the root."""
    app.command("explain", epilog="Example: counterflow explain CS-1 17:03, or: counterflow explain 42 2026-11-22T17:03:20Z")(
        asks_server(explain)
    )


def explain(
    server: Server,
    session: Annotated[
        str, typer.Argument(metavar="SESSION", help="Its number (session_uid), or its station: CS-1, CS-1/TRANSACTION when it has several.")
    ],
    when: Annotated[
        str | None, typer.Argument(metavar="TIME", help="17:03 or 17:03:20 (UTC, the last one that has been), or an instant. Default: now.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say why a car was given what it was given at a time, or nothing: reason, merit, what bound it, with the figures at that time."""
    with server.client() as client:
        uid = session if session.isdigit() else _uid(client, session)
        params = {} if when is None else {"at": format_instant(_instant(client, when))}
        reply = client.get(f"/sessions/{uid}/explain", params)
    if as_json:
        typer.echo(reply.text)
        return
    console = screen()
    for sentence in reply.read(ExplanationView).sentences:
        say(console, sentence)


def _uid(client: ApiClient, session: str) -> int:
    station_id, _, transaction_id = session.partition("/")
    found = [
        view
        for view in client.get("/sessions").read(list[SessionView])
        if view.station_id == station_id and transaction_id in ("", view.transaction_id)
    ]
    if not found and not any(view.station_id == station_id for view in client.get("/stations").read(list[StationView])):
        raise FailedError(f"There is no station '{station_id}'. counterflow stations lists them.")
    if not found:
        raise FailedError(
            f"Station {station_id} has no such open session. A session that is over is named by its number, as in its report."
        )
    if len(found) > 1:
        names = ", ".join(f"{view.station_id}/{view.transaction_id}" for view in found)
        raise FailedError(f"Station {station_id} has {len(found)} sessions: name one of {names}.")
    return found[0].session_uid


def _instant(client: ApiClient, when: str) -> float:
    clock = _CLOCK.fullmatch(when.strip())
    if clock is None:
        return parse_instant_s(when)
    # The server's clock counts, not this machine's.
    now = datetime.fromtimestamp(client.get("/fleet").read(FleetView).at_s, tz=UTC)
    hour, minute, second = (int(part or 0) for part in clock.groups())
    at_s = now.replace(hour=hour, minute=minute, second=second, microsecond=0).timestamp()
    return at_s if at_s <= now.timestamp() else at_s - 86_400.0
