"""One station on one page: what it is, what it can do, what we set at it; and the commands that ask it anew or give its settings back."""

from collections.abc import Callable, Iterable
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from counterflow.app.cli.api_client import segment
from counterflow.app.cli.shared import JsonOption, Server, asks_server, screen
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
    whole,
    words,
    yes_no,
)
from counterflow.app.cli.words import counted, power, profile_words
from counterflow.domain.conflicts import Telling
from counterflow.domain.resources import ConnectedEv, EvseCapability, StationFacts
from counterflow.domain.security_views import SecurityEventView
from counterflow.domain.station_views import StationView
from counterflow.domain.units import format_energy

Facts = list[tuple[str, str]]
Value = TypeVar("Value")
StationArgument = Annotated[str, typer.Argument(metavar="ID", help="Identity of the station, as in its OCPP address.")]


def register(stations: typer.Typer) -> None:
    """Put the commands under `stations`."""
    stations.command("show", epilog="Example: counterflow stations show CS-1")(asks_server(show))
    stations.command("discover", epilog="Example: counterflow stations discover CS-1")(asks_server(discover))
    stations.command("restore", epilog="Example: counterflow stations restore CS-1")(asks_server(restore))


def show(
    server: Server,
    station_id: StationArgument,
    as_json: JsonOption = False,
) -> None:
    """Show one station: what it is, what it can do, what we set at it, and what it refused."""
    with server.client() as client:
        reply = client.get(f"/stations/{segment(station_id)}")
    if as_json:
        typer.echo(reply.text)
        return
    print_page(screen(), reply.read(StationView), server.around.now_s())


EVENT_COLUMNS: list[Column[SecurityEventView]] = [
    column("Last seen", lambda event: instant(event.last_at_s)),
    figures("Times", lambda event: whole(event.count), 2),
    column("Security", lambda event: event.kind),
    words("What", lambda event: event.text),
]


def discover(
    server: Server,
    station_id: StationArgument,
    as_json: JsonOption = False,
) -> None:
    """Ask a connected station anew what it can do, set its sampling, and show it."""
    with server.client() as client:
        reply = client.request("POST", f"/stations/{segment(station_id)}/discovery")
    if as_json:
        typer.echo(reply.text)
        return
    print_page(screen(), reply.read(StationView), server.around.now_s())


def restore(
    server: Server,
    station_id: StationArgument,
    as_json: JsonOption = False,
) -> None:
    """Give a connected station back the settings that it had before us, and leave them alone until discovery is asked for."""
    with server.client() as client:
        reply = client.request("POST", f"/stations/{segment(station_id)}/restore-settings")
    if as_json:
        typer.echo(reply.text)
        return
    view, console = reply.read(StationView), screen()
    if view.changed_settings:
        say(console, f"Station {station_id} did not take back {counted(len(view.changed_settings), 'setting')}:")
        print_facts(console, setting_facts(view))
    else:
        say(console, f"Station {station_id} has its own settings. They stay until: counterflow stations discover {station_id}")
    for sentence in view.refusals:
        say(console, sentence)


def print_page(console: Console, view: StationView, now_s: float) -> None:
    """Everything of one station, within the terminal."""
    print_facts(console, [*station_facts(view, now_s), *sampling_facts(view), *habit_facts(view.facts)])
    if view.evses:
        console.print()
    print_table(console, view.evses, EVSE_COLUMNS, empty="Nothing is known of its EVSEs yet.")
    for evse in view.evses:
        details = evse_facts(evse, now_s)
        if details:
            console.print()
            print_facts(console, [(f"EVSE {evse.evse_id}", evse.control_mode.name.lower()), *details])
    if view.security_events:
        console.print()
        print_table(console, view.security_events, EVENT_COLUMNS, empty="")
    if view.changed_settings:
        console.print()
        print_facts(console, setting_facts(view))
        say(console, f"Undone by: counterflow stations restore {view.station_id}", "dim")


def setting_facts(view: StationView) -> Facts:
    """What we set, and what it was."""
    lines = [f"{change.variable} = {_spaced(change.ours[-1])}; before: {_spaced(change.former)}" for change in view.changed_settings]
    return [("We set" if number == 0 else "", line) for number, line in enumerate(lines)]


def _spaced(value: str) -> str:
    """A list that wraps between its members."""
    return value.replace(",", ", ") or "empty"


def station_facts(view: StationView, now_s: float) -> Facts:
    """One station in words."""
    seen = "never" if view.last_seen_s is None else f"{span(max(0.0, now_s - view.last_seen_s))} ago"
    identity = view.identity
    learned = "not yet" if view.discovered_at_s is None else f"at {clock(view.discovered_at_s, now_s)} UTC"
    if view.outdated:
        learned = f"{learned}, void: {view.outdated}"
    facts = [
        ("Station", view.station_id),
        ("Site", view.site_id),
        ("Registered", "yes" if view.registered else "no, accepted as unknown"),
        ("Password", "set" if view.password_set else "none"),
        ("Security", f"profile {view.security_profile} or higher"),
        ("Connected", f"yes, {view.subprotocol or 'no subprotocol'}" if view.connected else f"no, last seen {seen}"),
        ("Model", f"{identity.vendor_name} {identity.model}".strip() or "unknown"),
        ("Serial", identity.serial_number or "unknown"),
        ("Firmware", identity.firmware_version or "unknown"),
        ("Sessions", str(view.sessions)),
        ("Profiles", f"{view.profiles} of ours, {profiles_told(view, now_s)}"),
        *(("Not ours" if number == 0 else "", profile_words(one)) for number, one in enumerate(view.other_profiles)),
        ("Discovered", learned),
    ]
    if view.held_out is not None:
        facts.append(("Held out", f"{view.held_out} (counterflow stations release {view.station_id})"))
    return facts + [("To know" if number == 0 else "", text) for number, text in enumerate(view.refusals)]


def profiles_told(view: StationView, now_s: float) -> str:
    """What the station told of others' profiles."""
    if view.profiles_told_at_s is None:
        return "others' unknown: it has not told yet"
    ago = span(max(0.0, now_s - view.profiles_told_at_s))
    if view.profiles_telling == Telling.UNSUPPORTED.value:
        return f"others' unknown: it cannot tell (asked {ago} ago)"
    return f"{len(view.other_profiles)} of others (told {ago} ago)"


def sampling_facts(view: StationView) -> Facts:
    """What it measures for us."""
    facts = view.facts
    meter = "unknown" if view.meter_interval_s is None else f"a value every {span(view.meter_interval_s)}"
    if facts.setpoint_interval_s is not None:
        meter += f", every {span(facts.setpoint_interval_s)} under a setpoint"
    lines = [("Meter", meter)]
    if facts.measurands:
        lines.append(("", ", ".join(facts.measurands)))
    if facts.aligned_interval_s is not None:
        lines.append(("By the clock", f"every {span(facts.aligned_interval_s)}: {', '.join(facts.aligned_measurands) or 'not said what'}"))
    if view.hands_off:
        lines.append(("Settings", "its own; we leave them alone"))
    if view.awaits_reboot:
        lines.append(("Settings", "some hold only after a reboot of the station"))
    return lines


def habit_facts(facts: StationFacts) -> Facts:
    """How it keeps sessions and its connection."""
    return [
        *_told("Begins with", ", ".join(facts.tx_start_points)),
        *_told("Ends with", ", ".join(facts.tx_stop_points)),
        *_told("Resumes", facts.tx_resumption_timeout_s, lambda value: f"within {span(value)} after a power failure" if value else "never"),
        *_told("Heartbeat", facts.heartbeat_interval_s, lambda value: f"every {span(value)}"),
        *_told("Pings", facts.ping_interval_s, lambda value: f"every {span(value)}" if value else "none"),
        *_told("Offline", facts.offline_threshold_s, lambda value: f"all connectors reported after {span(value)}"),
        *_told("Waits", facts.message_timeout_s, lambda value: f"{span(value)} for an answer"),
        *_told("Tries", facts.message_attempts, lambda value: f"{whole(value)} for a TransactionEvent"),
        *_told("Clock", facts.clock_offset_s, _clock_words),
    ]


def _clock_words(offset_s: float) -> str:
    if abs(offset_s) < 1.0:
        return "as ours"
    return f"{span(abs(offset_s))} {'ahead of' if offset_s > 0.0 else 'behind'} ours"


EVSE_COLUMNS: list[Column[EvseCapability]] = [
    figures("EVSE", lambda evse: whole(evse.evse_id)),
    column("Control", lambda evse: evse.control_mode.name.lower()),
    figures("Max kW", lambda evse: kilo(evse.max_discharge_power_w)),
    figures("Levels", lambda evse: whole(evse.max_stack_level), 2),
    column("Units", lambda evse: ", ".join(evse.rate_units) or "-", 3),
    column("Dynamic", lambda evse: yes_no(evse.dynamic_profiles), 4),
    column("Offline limit", lambda evse: yes_no(evse.max_offline_duration), 5),
    words("Why", lambda evse: evse.reason or "-"),
]


def evse_facts(evse: EvseCapability, now_s: float) -> Facts:
    """What one EVSE said of itself beyond the table; what it did not say is left out."""
    ratings = [
        f"{power(value)} {what}"
        for value, what in ((evse.rated_discharge_power_w, "rated"), (evse.configured_discharge_power_w, "configured"))
        if value is not None
    ]
    return [
        *_told("Modes", ", ".join(evse.operation_modes)),
        *_told("Transfers", ", ".join(evse.energy_transfer_modes)),
        *_told("Discharge", ", ".join(ratings)),
        *_told("Charge", evse.max_charge_power_w, lambda value: f"up to {power(value)}"),
        *_told("Renegotiates", evse.service_renegotiation, lambda value: f"{yes_no(value)} (upgrade of a session, ISO 15118-20)"),
        *_told("Profiles", evse.max_profiles, lambda value: f"at most {value} at the station"),
        *_told("Periods", evse.max_periods, lambda value: f"at most {value} in a schedule"),
        *_told("After reboot", evse.tx_profiles_persist, lambda value: "profiles are still there" if value else "profiles are gone"),
        *_told("Also", ", ".join((*evse.features, *evse.additional_purposes))),
        *_told("Setpoints", evse.setpoint_priority, lambda value: f"that of {value} wins"),
        *_told("Local system", ", ".join(_local_system(evse))),
        *([] if evse.connected_ev is None else car_facts(evse.connected_ev, now_s)),
    ]


def _local_system(evse: EvseCapability) -> Iterable[str]:
    if evse.external_control_signals is not None:
        yield "its signals are followed" if evse.external_control_signals else "its signals are not followed"
    if evse.external_profiles_disallowed:
        yield "acts only where we let it"
    if evse.limit_notices_with_schedules is not None:
        yield "limits are told with schedules" if evse.limit_notices_with_schedules else "limits are told without schedules"
    if evse.limit_change_significance_frac is not None:
        yield f"when they change by {percent(evse.limit_change_significance_frac)} %"
    if evse.max_external_constraints_id is not None:
        yield f"its profile ids end at {evse.max_external_constraints_id}"


def car_facts(car: ConnectedEv, now_s: float) -> Facts:
    """The car as the EVSE knew it then."""
    said = [
        *((car.protocol,) if car.protocol else ()),
        *((f"{percent(car.soc_frac)} % charged",) if car.soc_frac is not None else ()),
        *((f"battery {format_energy(car.capacity_wh)}",) if car.capacity_wh is not None else ()),
        *((f"discharges up to {power(car.max_discharge_power_w)}",) if car.max_discharge_power_w is not None else ()),
        *((f"leaves at {clock(car.departure_s, now_s)} UTC",) if car.departure_s is not None else ()),
    ]
    return _told("Car", f"{', '.join(said)} (at {clock(car.at_s, now_s)} UTC)" if said else "")


def _told(name: str, value: Value | None, show: Callable[[Value], str] = str) -> Facts:
    """A line, unless nothing was said."""
    return [] if value is None or value == "" else [(name, show(value))]
