"""Commands about drivers: agreements, their import and erasure, and what a driver says for a session."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from counterflow.app.cli.api_client import ApiClient, segment
from counterflow.app.cli.shared import (
    FailedError,
    JsonOption,
    Server,
    WrongUsageError,
    asks_server,
    note,
    refuse_options_before,
    screen,
)
from counterflow.app.cli.tables import Column, clock, column, figures, kilo, percent, print_facts, print_table, say, span, whole
from counterflow.app.cli.words import counted
from counterflow.app.drivers.driver_file import TERM_COLUMNS, terms_from
from counterflow.domain.driver_views import DriverView, ErasureAnswer, ImportAnswer
from counterflow.domain.drivers import PartialTerms, Scope
from counterflow.domain.session_views import SessionView
from counterflow.domain.units import format_energy, parse_instant_s, parse_share

drivers_app = typer.Typer(help="What is agreed with drivers, vehicles and contracts.", no_args_is_help=False)

WhoArgument = Annotated[str, typer.Argument(metavar="ID", help="Id token, EVCCID or contract, or its pseudonym from the list.")]


def register(app: typer.Typer) -> None:
    """Put the commands into the root."""
    app.add_typer(drivers_app, name="drivers", epilog="Example: counterflow drivers, counterflow drivers set DECFW1 --consent yes")
    app.command("override", epilog="Example: counterflow override CS-1 depart 2026-11-22T15:00+01:00")(override)


@drivers_app.callback(invoke_without_command=True)
@asks_server
def drivers(
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """List what is agreed with drivers, vehicles and contracts, or show, set, remove, import and erase."""
    if server.ctx.invoked_subcommand is None:
        _list(server, as_json=as_json)
    else:
        refuse_options_before(server.ctx)


@drivers_app.command("list", epilog="Example: counterflow drivers list --json")
@asks_server
def drivers_list(
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """List the agreements with drivers, vehicles and contracts."""
    _list(server, as_json=as_json)


def _list(server: Server, *, as_json: bool) -> None:
    with server.client() as client:
        reply = client.get("/drivers")
    if as_json:
        typer.echo(reply.text)
        return
    print_table(screen(), reply.read(list[DriverView]), DRIVER_COLUMNS, empty="Nothing is agreed with anybody; the defaults hold.")


DRIVER_COLUMNS: list[Column[DriverView]] = [
    column("Who", lambda view: view.scope),
    column("Pseudonym", lambda view: view.subject),
    column("Label", lambda view: view.label or "-", 1),
    column("Consent", lambda view: _said(view.terms.consent)),
    figures("Floor %", lambda view: percent(view.terms.min_soc_frac), 2),
    figures("Day kWh", lambda view: kilo(view.day_discharged_wh), 3),
    figures("Year kWh", lambda view: kilo(view.year_discharged_wh), 3),
    column("Contract", lambda view: view.terms.contract or "-", 4),
    column("From", lambda view: "stored" if view.stored else "settings", 5),
]


def _said(value: bool | None) -> str:
    return "-" if value is None else "yes" if value else "no"


@drivers_app.command("show", epilog="Example: counterflow drivers show DECFW1")
@asks_server
def drivers_show(
    server: Server,
    who: WhoArgument,
    as_json: JsonOption = False,
) -> None:
    """Show what is agreed with one, and how much energy was taken."""
    with server.client() as client:
        reply = client.request("POST", "/drivers/lookup", body={"id": who})
    views = reply.read(list[DriverView])
    if as_json:
        typer.echo(reply.text)
        return
    if not views:
        raise FailedError(f"Nothing is known of '{who}'; the defaults hold.")
    console, now_s = screen(), server.around.now_s()
    for number, view in enumerate(views):
        if number:
            console.print()
        print_facts(console, driver_facts(view, now_s))


def driver_facts(view: DriverView, now_s: float) -> list[tuple[str, str]]:
    """One agreement in words."""
    taken = "nothing was counted yet"
    if view.counted_day:
        year = f"{format_energy(view.year_discharged_wh)} and {view.year_cycles:.2f} cycles in the year"
        taken = f"{format_energy(view.day_discharged_wh)} on {view.counted_day}, {year}"
    changed = "in the settings" if view.changed_at_s is None else f"{clock(view.changed_at_s, now_s)} by {view.changed_by}"
    facts = [("Who", f"{view.scope} {view.subject}"), ("Label", view.label or "-")]
    facts += [(name, text) for name, text in terms_words(view.terms)]
    return [*facts, ("Taken", taken), ("Changed", changed)]


def terms_words(terms: PartialTerms) -> list[tuple[str, str]]:
    """What is agreed in words; what is left to the wider scope is not there."""
    caps = [
        f"{format_energy(limit)} a {what}"
        for limit, what in (
            (terms.max_session_discharge_wh, "session"),
            (terms.max_day_discharge_wh, "day"),
            (terms.max_year_discharge_wh, "year"),
        )
        if limit is not None
    ]
    caps += [] if terms.max_year_cycles is None else [f"{terms.max_year_cycles:g} cycles a year"]
    caps += [] if terms.wear_cost_per_kwh is None else [f"wear costs {terms.wear_cost_per_kwh:g} a kWh"]
    said = [
        ("Contract", terms.contract),
        ("Consent", None if terms.consent is None else _said(terms.consent)),
        ("Pausing", None if terms.pausing is None else _said(terms.pausing)),
        ("Longest pause", None if terms.max_pause_s is None else span(terms.max_pause_s)),
        ("Floor", None if terms.min_soc_frac is None else f"{percent(terms.min_soc_frac)} %"),
        ("Target", None if terms.target_soc_frac is None else f"{percent(terms.target_soc_frac)} %"),
        ("Stays", None if terms.departure_after_s is None else span(terms.departure_after_s)),
        ("Blackouts", None if terms.blackouts is None else "; ".join(terms.blackouts) or "none"),
        ("Time zone", terms.timezone),
        ("Caps", ", ".join(caps) or None),
        ("Car", terms.vehicle_model),
        ("EVSE alone", None if terms.transfer_by_evse_alone is None else _said(terms.transfer_by_evse_alone)),
    ]
    return [(name, text) for name, text in said if text is not None]


@drivers_app.command("set", epilog="Example: counterflow drivers set DECFW1 --consent yes --min-soc 40% --max-day-discharge 20kWh")
@asks_server
def drivers_set(
    server: Server,
    who: Annotated[str, typer.Argument(metavar="ID", help="Id token, EVCCID or contract, in clear.")],
    scope: Annotated[Scope, typer.Option(help="Whom it is about.")] = Scope.DRIVER,
    label: Annotated[str | None, typer.Option(metavar="TEXT", help="A name of your own.")] = None,
    contract: Annotated[str | None, typer.Option(metavar="NAME", help="Contract that it belongs to.")] = None,
    consent: Annotated[str | None, typer.Option(metavar="yes|no", help="May the car be discharged at all?")] = None,
    pausing: Annotated[str | None, typer.Option(metavar="yes|no", help="May its charging be slowed or paused?")] = None,
    max_pause: Annotated[str | None, typer.Option(metavar="DURATION", help="Longest pause in one session altogether.")] = None,
    min_soc: Annotated[str | None, typer.Option(metavar="SHARE", help="Never below this, such as 40%.")] = None,
    target_soc: Annotated[str | None, typer.Option(metavar="SHARE", help="Wanted at departure when the car names none.")] = None,
    departure_after: Annotated[str | None, typer.Option(metavar="DURATION", help="Assumed stay, such as 8h.")] = None,
    blackouts: Annotated[str | None, typer.Option(metavar="TIMES", help="Such as 'mon-fri 06:30-09:00; sun 18:00-20:00'.")] = None,
    timezone: Annotated[str | None, typer.Option(metavar="ZONE", help="Such as Europe/Berlin.")] = None,
    max_session_discharge: Annotated[str | None, typer.Option(metavar="ENERGY", help="Cap of a session, such as 20kWh.")] = None,
    max_day_discharge: Annotated[str | None, typer.Option(metavar="ENERGY", help="Cap of a local day.")] = None,
    max_year_discharge: Annotated[str | None, typer.Option(metavar="ENERGY", help="Cap of a calendar year.")] = None,
    wear_cost: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="What wear of the battery costs, EUR a kWh discharged (policy economic).")
    ] = None,
    vehicle_model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Make and model of the car: a new one begins with what was learned of others of it.")
    ] = None,
    max_year_cycles: Annotated[str | None, typer.Option(metavar="NUMBER", help="Equivalent full cycles in a calendar year.")] = None,
    transfer_by_evse_alone: Annotated[str | None, typer.Option(metavar="yes|no", help="CHAdeMO and the like.")] = None,
    unset: Annotated[list[str] | None, typer.Option(metavar="FIELD", help="Take a field back to the wider scope; may be repeated.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Agree with a driver, vehicle or contract; what is not named stays as it is."""
    said = {
        "contract": contract,
        "consent": consent,
        "pausing": pausing,
        "max_pause": max_pause,
        "min_soc": min_soc,
        "target_soc": target_soc,
        "departure_after": departure_after,
        "blackouts": blackouts,
        "timezone": timezone,
        "max_session_discharge": max_session_discharge,
        "max_day_discharge": max_day_discharge,
        "max_year_discharge": max_year_discharge,
        "max_year_cycles": max_year_cycles,
        "wear_cost": wear_cost,
        "vehicle_model": vehicle_model,
        "transfer_by_evse_alone": transfer_by_evse_alone,
    }
    given = {name: value for name, value in said.items() if value is not None}
    for name, value in given.items():
        if not value.strip():
            raise WrongUsageError(f"--{name.replace('_', '-')} needs a value; --unset {name} takes it back to the wider scope.")
    try:
        terms = terms_from(given)
    except ValueError as error:
        raise WrongUsageError(str(error)) from None
    for name in unset or ():
        if name.replace("-", "_") not in TERM_COLUMNS:
            raise WrongUsageError(f"There is no field '{name}'; known are {', '.join(TERM_COLUMNS)}.")
        terms[TERM_COLUMNS[name.replace("-", "_")][0]] = None
    body: dict[str, object] = {"scope": scope.value, "id": who, "terms": terms}
    if label is not None:
        body["label"] = label
    with server.client() as client:
        reply = client.request("PATCH", "/drivers", body=body)
    if as_json:
        typer.echo(reply.text)
        return
    print_facts(screen(), driver_facts(reply.read(DriverView), server.around.now_s()))


@drivers_app.command("remove", epilog="Example: counterflow drivers remove DECFW1")
@asks_server
def drivers_remove(
    server: Server,
    who: WhoArgument,
    as_json: JsonOption = False,
) -> None:
    """Take an agreement back; the wider scopes hold again. Counted energy stays (see erase)."""
    with server.client() as client:
        views = [view for view in client.request("POST", "/drivers/lookup", body={"id": who}).read(list[DriverView]) if view.stored]
        if not views:
            raise FailedError(f"No agreement is stored for '{who}'.")
        replies = [client.request("DELETE", f"/drivers/{segment(view.scope)}/{segment(view.subject)}") for view in views]
    if as_json:
        typer.echo(replies[-1].text)
        return
    say(screen(), f"The agreement with {views[0].scope} {views[0].subject} is removed; the wider scopes hold for it.")


@drivers_app.command("import", epilog="Example: counterflow drivers import drivers.csv --dry-run")
@asks_server
def drivers_import(
    server: Server,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV file; its first line names the columns.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look, and say what is wrong.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take agreements from a CSV file: every row, or none. It is looked through as a dry run before anything is changed."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUsageError(f"The file {file} cannot be read as UTF-8 text: {error}.") from None
    with server.client() as client:
        answer = _import(client, text, True)
        if not answer.bad_rows and not dry_run:
            answer = _import(client, text, False)
    if as_json:
        typer.echo(reply_text(answer))
    for bad in () if as_json else answer.bad_rows:
        note(f"Line {bad.line}: {bad.sentence}")
    if answer.bad_rows:
        raise FailedError(f"{counted(len(answer.bad_rows), 'row')} of {answer.rows} cannot be taken, so nothing was imported.")
    if not as_json:
        words = "can be imported" if dry_run else "imported"
        say(screen(), f"{counted(answer.rows, 'row')} {words}.")


def _import(client: ApiClient, text: str, dry_run: bool) -> ImportAnswer:
    return client.request("POST", "/drivers/import", body={"csv": text, "dry_run": dry_run}).read(ImportAnswer)


def reply_text(answer: ImportAnswer) -> str:
    """The answer as JSON."""
    return msgspec.json.encode(answer).decode()


@drivers_app.command("erase", epilog="Example: counterflow drivers erase DECFW1 --yes")
@asks_server
def drivers_erase(
    server: Server,
    who: WhoArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Erase what is kept of a person or car: agreement, counted energy, and the link from sessions."""
    if not yes:
        typer.confirm("This cannot be undone, and caps begin to count anew. Erase?", abort=True, err=True)
    with server.client() as client:
        reply = client.request("POST", "/drivers/erase", body={"id": who})
    if as_json:
        typer.echo(reply.text)
        return
    done = reply.read(ErasureAnswer)
    parts = [counted(done.agreements, "agreement"), counted(done.accounts, "account"), f"the link from {counted(done.sessions, 'session')}"]
    learned = f" What was learned of {counted(done.learned, 'car')} is gone, too." if done.learned else ""
    say(screen(), f"Erased: {parts[0]}, {parts[1]}, and {parts[2]}.{learned}")


@asks_server
def override(
    server: Server,
    where: Annotated[str, typer.Argument(metavar="SESSION|STATION", help="Number of a session, a station, or station/transaction.")],
    what: Annotated[str, typer.Argument(metavar="stop|depart|keep|clear", help="What the driver says.")],
    value: Annotated[
        str | None,
        typer.Argument(metavar="[TIME|SHARE]", help="With depart: when, such as 2026-11-22T15:00+01:00; with keep: a share, such as 60%."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say for a driver: stop discharging now, I leave at that time, or keep at least so much. It counts from the next tick on."""
    if what not in ("stop", "depart", "keep", "clear"):
        raise WrongUsageError(f"'{what}' is none of stop, depart, keep and clear.")
    if (value is not None) != (what in ("depart", "keep")):
        raise WrongUsageError("'depart' needs a time, such as 2026-11-22T15:00+01:00, and keep a share, such as 60%; the others take none.")
    body: dict[str, object] = {"say": what}
    if value is not None:
        body |= {"departure_s": parse_instant_s(value)} if what == "depart" else {"min_soc_frac": parse_share(value)}
    with server.client() as client:
        reply = client.request("PUT", f"{_path_of(client, where)}/override", body=body)
    if as_json:
        typer.echo(reply.text)
        return
    print_table(screen(), reply.read(list[SessionView]), OVERRIDE_COLUMNS, empty="There are no open sessions.")


def _path_of(client: ApiClient, where: str) -> str:
    """A station may be called anything: a number is a session only when a session has it."""
    if where.isdigit():
        for view in client.get("/sessions").read(list[SessionView]):
            if view.session_uid == int(where):
                return f"/sessions/{segment(view.station_id)}/{segment(view.transaction_id)}"
    station, slash, transaction = where.partition("/")
    return f"/sessions/{segment(station)}/{segment(transaction)}" if slash else f"/stations/{segment(station)}"


OVERRIDE_COLUMNS: list[Column[SessionView]] = [
    figures("Session", lambda view: whole(view.session_uid)),
    column("Station", lambda view: view.station_id),
    column("Override", lambda view: view.override or "none"),
    column("State", lambda view: view.reason_text),
]
