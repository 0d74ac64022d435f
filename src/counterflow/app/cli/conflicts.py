"""Commands about other actors: where somebody else steers, who has priority at a site, and releasing a station that was held out."""

from typing import Annotated

import typer

from counterflow.app.cli.api_client import segment
from counterflow.app.cli.shared import JsonOption, Server, asks_server, refuse_options_before, screen
from counterflow.app.cli.tables import Column, clock, column, figures, instant, print_table, say, whole, words
from counterflow.app.cli.words import counted, profile_words
from counterflow.domain.conflicts import Leader, PriorityEntry, SitePriority
from counterflow.domain.station_views import ConflictView, StationView

ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help="The person who says so; it is kept.")]
NoteOption = Annotated[str, typer.Option("--note", metavar="TEXT", help="Why, or on what ground; it is kept.")]

conflicts_app = typer.Typer(help="Where somebody else steers, and who has priority.", no_args_is_help=False)


def register(app: typer.Typer, stations_app: typer.Typer) -> None:
    """Put the commands into the root, and `release` among those about stations."""
    app.add_typer(
        conflicts_app,
        name="conflicts",
        epilog='Example: counterflow conflicts, counterflow conflicts confirm depot --priority us --by "M. Rivera"',
    )
    stations_app.command("release", epilog='Example: counterflow stations release CS-1 --by "M. Rivera" --note "meter rewired"')(release)


@conflicts_app.callback(invoke_without_command=True)
@asks_server
def conflicts(
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """List the EVSEs where somebody else steers, or may; or confirm who has priority at a site."""
    if server.ctx.invoked_subcommand is not None:
        refuse_options_before(server.ctx)
        return
    with server.client() as client:
        reply = client.get("/conflicts")
        said = client.get("/conflicts/priorities")
    if as_json:
        typer.echo(reply.text)
        return
    views, console = reply.read(list[ConflictView]), screen()
    barred = sum(view.conflict != "none" for view in views)
    print_table(
        console,
        views,
        CONFLICT_COLUMNS,
        empty="Nobody else steers a station, as far as the stations have told.",
        note=f"{barred} of {counted(len(views), 'EVSE')} kept out of dispatch.",
    )
    confirmed = [one for one in said.read(list[SitePriority]) if one.leader is not None]
    if confirmed:
        console.print()
        print_table(console, confirmed, _priority_columns(server.around.now_s()), empty="")


CONFLICT_COLUMNS: list[Column[ConflictView]] = [
    column("Station", lambda view: view.station_id),
    figures("EVSE", lambda view: whole(view.evse_id), 3),
    column("Site", lambda view: view.site_id, 1),
    column("Priority", lambda view: view.leader or "-", 2),
    words("What", lambda view: "; ".join([view.conflict_text, *(profile_words(one) for one in view.other_profiles)]), least_width=24),
]


def _priority_columns(now_s: float) -> list[Column[SitePriority]]:
    return [
        column("Site", lambda one: one.site_id),
        column("Priority", lambda one: one.leader.value if one.leader else "-"),
        column("Since", lambda one: clock(_last(one).at_s, now_s), 1),
        column("By", lambda one: _last(one).by, 2),
        words("Note", lambda one: _last(one).note or "-"),
    ]


def _last(said: SitePriority) -> PriorityEntry:
    return said.entries[-1]


@conflicts_app.command("confirm", epilog='Example: counterflow conflicts confirm depot --priority us --by "M. Rivera"')
@asks_server
def confirm(
    server: Server,
    site: Annotated[str, typer.Argument(metavar="SITE", help="The site whose operator says so.")],
    priority: Annotated[Leader, typer.Option(metavar="us|them", help="us: our profiles go above theirs; them: theirs stand.")],
    by: ByOption,
    note: NoteOption = "",
    as_json: JsonOption = False,
) -> None:
    """Confirm, for the operator of a site, who has priority there over other systems."""
    with server.client() as client:
        reply = client.request("PUT", f"/conflicts/priorities/{segment(site)}", body={"leader": priority.value, "by": by, "note": note})
    if as_json:
        typer.echo(reply.text)
        return
    last = _last(reply.read(SitePriority))
    what = "our profiles go above others'" if priority is Leader.US else "EVSEs that others steer are left to them"
    say(screen(), f"At site {site} {what}; confirmed by {last.by} at {instant(last.at_s)}.")


@conflicts_app.command("revoke", epilog='Example: counterflow conflicts revoke depot --by "M. Rivera"')
@asks_server
def revoke(
    server: Server,
    site: Annotated[str, typer.Argument(metavar="SITE", help="The site whose confirmation is taken back.")],
    by: ByOption,
    note: NoteOption = "",
    as_json: JsonOption = False,
) -> None:
    """Take a confirmation back; EVSEs with a conflict leave dispatch at once."""
    with server.client() as client:
        reply = client.request("DELETE", f"/conflicts/priorities/{segment(site)}", params={"by": by, "note": note})
    if as_json:
        typer.echo(reply.text)
        return
    say(screen(), f"At site {site} nobody has priority any more; EVSEs that others steer are kept out of dispatch.")


@asks_server
def release(
    server: Server,
    station_id: Annotated[str, typer.Argument(metavar="ID", help="Identity of the station.")],
    by: ByOption,
    note: NoteOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let a station take part again that was held out because its meter contradicted itself."""
    with server.client() as client:
        reply = client.request("POST", f"/stations/{segment(station_id)}/release", body={"by": by, "note": note})
    if as_json:
        typer.echo(reply.text)
        return
    say(screen(), f"Station {reply.read(StationView).station_id} may be dispatched again; its meter is checked anew.")
