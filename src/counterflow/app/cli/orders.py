"""Commands that ask for something: dispatch, amend, cancel, clear-all, emergency-stop; and the list of dispatches."""

import re
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer
from typer.core import TyperCommand

from counterflow.app.cli.api_client import ApiClient, OutcomeUnknownError, Reply, segment
from counterflow.app.cli.profiles import step_of, steps_in
from counterflow.app.cli.shared import (
    FailedError,
    JsonOption,
    Server,
    WrongUsageError,
    asks_server,
    note,
    screen,
)
from counterflow.app.cli.tables import UNKNOWN, Column, clock, column, figures, kilo, print_table, say, whole
from counterflow.app.cli.watch import watch
from counterflow.app.cli.words import (
    answer_words,
    clearing_words,
    feasibility_words,
    order_words,
    state_words,
)
from counterflow.domain.dispatch_views import ClearingView, DispatchAnswer, DispatchView
from counterflow.domain.ids import ALL_SITES
from counterflow.domain.instructions import AllocationPolicy, ControlPath, DispatchMode, asked_power_w
from counterflow.domain.settlement import BaselineMethod
from counterflow.domain.units import (
    UNITS,
    parse_asked_power_w,
    parse_discharge_power_w,
    parse_duration_s,
    parse_instant_s,
    parse_ramp_w_per_s,
    parse_share,
)
from counterflow.domain.views import FleetView

_NEGATIVE = re.compile(r"-[\d.]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
"""What an Idempotency-Key may be."""


class QuantityCommand(TyperCommand):
    """A command whose arguments are quantities: `-1MW` is a negative power, not an option nobody knows."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Say what is wrong with a negative quantity, or one in two words; leave all else, `--priority -3` too, to the parser."""
        for before, argument in zip(["", *args], args, strict=False):
            if argument == "--":
                break
            if _NUMBER.fullmatch(before) and argument.lower() in UNITS:
                raise WrongUsageError(f"'{before} {argument}' are two words to this command: write {before}{argument}, without a space.")
            if _NEGATIVE.match(argument) and (argument[-1].isalpha() or not before.startswith("--")):
                refuse = parse_duration_s if argument[-1:].lower() in {"s", "n", "h", "d"} else parse_discharge_power_w
                refuse(argument)
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Put the commands into the root."""
    app.command(
        "dispatch",
        cls=QuantityCommand,
        epilog="Example: counterflow dispatch 2.5MW 15min --start 2026-11-22T17:00Z --pool north --watch; "
        "a profile: counterflow dispatch 1MW 1h --step +15min=2MW --step +45min=1MW. "
        "docs/ordering.md explains modes, policies and priority.",
    )(asks_server(dispatch))
    app.command("amend", cls=QuantityCommand, epilog="Example: counterflow amend d-1a2b3c4d --power 2MW --for 10min")(asks_server(amend))
    app.command("cancel", epilog="Example: counterflow cancel d-1a2b3c4d")(asks_server(cancel))
    app.command("dispatches", epilog="Example: counterflow dispatches --json")(asks_server(dispatches))
    app.command("clear-all", epilog="Example: counterflow clear-all")(asks_server(clear_all))
    app.command("emergency-stop", epilog="Example: counterflow emergency-stop, and later: counterflow emergency-stop --reset")(
        asks_server(emergency_stop)
    )


def dispatch(
    server: Server,
    discharge: Annotated[str, typer.Argument(metavar="POWER", help="Discharge power with its unit: 2.5MW, 1400kW, 7000W.")],
    duration: Annotated[str, typer.Argument(metavar="DURATION", help="How long: 900s, 15min, 1.5h, 1h30min.")],
    start: Annotated[str | None, typer.Option(metavar="INSTANT", help="When, with its time zone: 2026-11-22T17:00Z. Default: now.")] = None,
    pool: Annotated[str, typer.Option(metavar="NAME", help="Group of sites that takes part.")] = ALL_SITES,
    policy: Annotated[
        AllocationPolicy,
        typer.Option(
            metavar="POLICY",
            help="How power is split: hybrid (few messages), merit (what would be lost first goes first), "
            "economic (among those that can wait as long the cheapest first), proportional (each a little).",
        ),
    ] = AllocationPolicy.HYBRID,
    mode: Annotated[
        DispatchMode,
        typer.Option(
            metavar="MODE",
            help="What counts: net_export (less what the group draws), gross_export (discharge alone), relative (against its plan).",
        ),
    ] = DispatchMode.NET_EXPORT,
    path: Annotated[
        ControlPath, typer.Option(metavar="PATH", help="Who moves the cars: central, afrr (a signal for all), local_frequency (stations).")
    ] = ControlPath.CENTRAL,
    step: Annotated[
        list[str] | None,
        typer.Option(metavar="TIME=POWER", help="Another power from then on: 17:15=2MW (UTC), +15min=2MW. May be given again and again."),
    ] = None,
    profile: Annotated[Path | None, typer.Option(metavar="FILE", help="More steps, from CSV (time,power) or JSON.")] = None,
    ramp: Annotated[str | None, typer.Option(metavar="RATE", help="The target moves no faster than this: 20kW/s, 1MW/min.")] = None,
    full_activation: Annotated[
        str | None, typer.Option(metavar="DURATION", help="The same as a ramp: time from zero to POWER, such as 5min.")
    ] = None,
    ramp_out: Annotated[
        str | None, typer.Option(metavar="DURATION", help="The target goes down to zero over this last part of the window.")
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="The target comes value by value (counterflow stream); POWER is the most that is asked.")
    ] = False,
    timeout: Annotated[
        str | None, typer.Option(metavar="DURATION", help="A stream is silent so long after its last value. Default: 30s.")
    ] = None,
    hold: Annotated[
        str | None, typer.Option(metavar="DURATION", help="The last value of a stream holds for so long after that. Default: 60s.")
    ] = None,
    ramp_down: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Then the target of a stream goes down to zero within this time. Default: 5min.")
    ] = None,
    priority: Annotated[int, typer.Option(metavar="N", help="Where orders overlap, a higher one cuts the others short.")] = 0,
    headroom: Annotated[
        str | None,
        typer.Option(metavar="SHARE|POWER", help="What stands by as idle cars: 15% of what the pool can give, or 200kW. Default: as set."),
    ] = None,
    baseline: Annotated[
        BaselineMethod | None,
        typer.Option(
            metavar="METHOD",
            help="What a relative order is settled against: declared, forward, meter_before_after, ten_of_ten, high_five_of_ten, zero. "
            "Default: as set.",
        ),
    ] = None,
    require_full: Annotated[
        bool, typer.Option("--require-full", help="Refuse the order unless all of its power can be committed.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is feasible.")] = False,
    watch_it: Annotated[bool, typer.Option("--watch", help="Show the dispatch live until it ends, then the verdict.")] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Repeating an order with the same key returns the same dispatch.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Order discharge power from the fleet, and learn at once what is feasible."""
    if watch_it and (as_json or dry_run):
        raise WrongUsageError(f"--watch cannot be combined with {'--json' if as_json else '--dry-run'}: choose one of them.")
    if idempotency_key is not None and _KEY.fullmatch(idempotency_key) is None:
        raise WrongUsageError("An idempotency key is 1 to 200 printable ASCII characters without spaces.")
    body: dict[str, object] = {
        "discharge_power_w": parse_discharge_power_w(discharge),
        "duration_s": parse_duration_s(duration),
        "start_s": None if start is None else parse_instant_s(start),
        "pool": pool,
        "policy": policy.value,
        "mode": mode.value,
        "priority": priority,
        "require_full": require_full,
        "control_path": path.value,
        "dry_run": dry_run,
    }
    if ramp is not None and full_activation is not None:
        raise WrongUsageError("--ramp and --full-activation both set the ramp: choose one of them.")
    moving: dict[str, object] = {
        "ramp_w_per_s": None if ramp is None else parse_ramp_w_per_s(ramp),
        "full_activation_s": None if full_activation is None else parse_duration_s(full_activation),
        "ramp_out_s": None if ramp_out is None else parse_duration_s(ramp_out),
        "baseline": None if baseline is None else baseline.value,
        "stream": _stream_terms({"--timeout": timeout, "--hold": hold, "--ramp-down": ramp_down}, stream=stream),
    }
    if headroom is not None:
        share = headroom.strip().endswith("%")
        moving["headroom_frac" if share else "headroom_power_w"] = parse_share(headroom) if share else parse_asked_power_w(headroom)
    body |= {name: value for name, value in moving.items() if value is not None}
    around, console = server.around, screen()
    with server.client() as client:
        if step or profile is not None:
            # The server's clock counts, not this machine's.
            start_s = client.get("/fleet").read(FleetView).at_s if start is None else parse_instant_s(start)
            steps = [step_of(text, start_s) for text in step or ()]
            body["steps"] = steps + (steps_in(profile, start_s) if profile is not None else [])
        reply = _order(client, body, idempotency_key)
        if as_json:
            typer.echo(reply.text)
            return
        answer = reply.read(DispatchAnswer)
        for line in answer_words(answer, around.now_s()):
            say(console, line)
        if answer.obstacle is not None:
            raise FailedError(f"The order would be refused now. {answer.obstacle.sentence} {answer.obstacle.remedy}")
        if watch_it:
            watch(client, answer.dispatch.instruction.dispatch_id, console, around)


def _stream_terms(options: dict[str, str | None], *, stream: bool) -> dict[str, float] | None:
    """The dead-man of a stream; None = the order is none. Raises WrongUsageError for an option of a stream without one."""
    if not stream:
        for name, given in options.items():
            if given is not None:
                raise WrongUsageError(f"{name} needs --stream: it says what happens when a streamed target falls silent.")
        return None
    timeout, hold, ramp_down = options.values()
    return {
        "timeout_s": parse_duration_s(timeout or "30s"),
        "hold_s": parse_duration_s(hold or "60s"),
        "ramp_down_s": parse_duration_s(ramp_down or "5min"),
    }


def _order(client: ApiClient, body: dict[str, object], key: str | None) -> Reply:
    """POST the order. It always has a key, so that an answer that was lost can be asked for again without ordering twice."""
    used = key if key is not None else str(uuid4())
    try:
        return client.request("POST", "/dispatches", body=body, headers={"Idempotency-Key": used})
    except OutcomeUnknownError as error:
        raise OutcomeUnknownError(
            f"{error.sentence} Whether the order was accepted is unknown: repeat the command with --idempotency-key {used} "
            "to find out without ordering twice."
        ) from None


def amend(
    server: Server,
    dispatch_id: Annotated[str, typer.Argument(metavar="ID", help="The dispatch, as 'counterflow dispatches' shows it.")],
    new_power: Annotated[str | None, typer.Option("--power", metavar="POWER", help="New discharge power: 2MW.")] = None,
    end: Annotated[str | None, typer.Option(metavar="INSTANT", help="New end, with its time zone: 2026-11-22T17:20Z.")] = None,
    lasting: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="New end, counted from now (or from a start still to come): 10min.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Change the power or the end of a dispatch."""
    if new_power is None and end is None and lasting is None:
        raise WrongUsageError("Say what to change: --power, --end or --for.")
    if end is not None and lasting is not None:
        raise WrongUsageError("--end and --for both set the end: choose one of them.")
    body: dict[str, float] = {}
    if new_power is not None:
        body["discharge_power_w"] = parse_discharge_power_w(new_power)
    if end is not None:
        body["end_s"] = parse_instant_s(end)
    lasting_s = None if lasting is None else parse_duration_s(lasting)
    with server.client() as client:
        path = f"/dispatches/{segment(dispatch_id)}"
        if lasting_s is not None:
            # The server's clock counts, not this machine's.
            now_s = client.get("/fleet").read(FleetView).at_s
            body["end_s"] = max(now_s, client.get(path).read(DispatchView).instruction.start_s) + lasting_s
        reply = client.request("PATCH", path, body=body)
    if as_json:
        typer.echo(reply.text)
        return
    view, console, now_s = reply.read(DispatchView), screen(), server.around.now_s()
    say(console, f"Dispatch {view.instruction.dispatch_id} is now: {order_words(view.instruction, now_s)}.")
    for line in feasibility_words(view.instruction, view.feasibility):
        say(console, line)


def cancel(
    server: Server,
    dispatch_id: Annotated[str, typer.Argument(metavar="ID", help="The dispatch, as 'counterflow dispatches' shows it.")],
    as_json: JsonOption = False,
) -> None:
    """Stop a dispatch; the cars resume charging step by step."""
    with server.client() as client:
        reply = client.request("DELETE", f"/dispatches/{segment(dispatch_id)}")
    if as_json:
        typer.echo(reply.text)
        return
    view = reply.read(DispatchView)
    say(screen(), f"Dispatch {view.instruction.dispatch_id}: {state_words(view, server.around.now_s())}.")


def dispatches(
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """List the dispatches, newest first."""
    with server.client() as client:
        reply = client.get("/dispatches")
    if as_json:
        typer.echo(reply.text)
        return
    found, now_s = reply.read(list[DispatchView]), server.around.now_s()
    taken_s = max((view.at_s for view in found if view.at_s is not None), default=None)
    as_of = "" if taken_s is None else f"; now: by the meters as of {clock(taken_s, now_s)}"
    print_table(
        screen(),
        found,
        dispatch_columns(now_s),
        empty="There are no dispatches yet. Order one: counterflow dispatch 100kW 15min",
        note=f"Times are UTC; discharge is positive{as_of}.",
    )


def dispatch_columns(now_s: float) -> list[Column[DispatchView]]:
    """The columns of the list."""
    return [
        column("Dispatch", lambda view: view.instruction.dispatch_id),
        column("State", lambda view: view.instruction.state.value),
        column("Start", lambda view: clock(view.instruction.start_s, now_s), 2),
        column("End", lambda view: clock(view.instruction.end_s, now_s), 4),
        figures("Order kW", lambda view: kilo(asked_power_w(view.instruction))),
        figures("Now kW", lambda view: kilo(view.delivered_power_w), 1),
        column("Data", lambda view: UNKNOWN if view.quality is None else view.quality.value, 3),
        figures("Short kW", lambda view: kilo(view.shortfall_power_w), 5),
        figures("Cars", lambda view: whole(view.members), 6),
        figures("Lost", lambda view: whole(view.drop_outs), 7),
        figures("Messages", lambda view: whole(view.messages_sent), 11),
        figures("Prio", lambda view: whole(view.instruction.priority), 12),
        column("Pool", lambda view: view.instruction.pool, 8),
        column("Policy", lambda view: view.instruction.policy.value, 9),
        column("Mode", lambda view: view.instruction.mode.value, 10),
    ]


def clear_all(
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Cancel every dispatch, and clear every profile of ours at every station."""
    with server.client() as client:
        reply = client.request("POST", "/clear-all")
    if as_json:
        typer.echo(reply.text)
        return
    for line in clearing_words(reply.read(ClearingView)):
        say(screen(), line)


def emergency_stop(
    server: Server,
    reset: Annotated[bool, typer.Option("--reset", help="Allow dispatches again.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a reset.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Abort all dispatches now and refuse new ones until a person resets it. It acts at once, without asking."""
    if reset and not yes and not typer.confirm("Allow dispatches again?", err=True):
        note("The emergency stop stays as it is.")
        raise typer.Exit(1)
    with server.client() as client:
        reply = client.request("DELETE" if reset else "POST", "/emergency-stop")
    if as_json:
        typer.echo(reply.text)
        return
    view, console = reply.read(FleetView), screen()
    if view.emergency_stop:
        say(console, "THE EMERGENCY STOP IS ON. Every dispatch is aborted and new ones are refused.", "bold red")
        say(console, "To allow dispatches again: counterflow emergency-stop --reset")
    else:
        say(console, f"The emergency stop is off. {view.sessions_ready} of {view.sessions} sessions can be dispatched.")
