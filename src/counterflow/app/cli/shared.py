"""What all commands share: the options that name the server, the two terminals, and one place where errors become sentences.

Exit codes: 0 done, 1 the server refused or the thing failed, 2 wrong usage, 130 stopped by Ctrl-C.
"""

import re
from collections.abc import Callable
from inspect import Parameter, Signature, signature
from pathlib import Path
from time import sleep
from typing import Annotated, Any, Concatenate, ParamSpec

import httpx
import typer
from msgspec import Struct
from rich.console import Console
from typer.core import TyperGroup
from typer.exceptions import TyperException

from counterflow.app.cli.api_client import DEFAULT_DATA_DIR, DEFAULT_URL, ApiClient, ApiError, WrongAddressError, resolve_token
from counterflow.app.cli.tables import visible
from counterflow.app.clock import SystemClock
from counterflow.domain.units import UnitError

SERVER_PANEL = "Server"
P = ParamSpec("P")

JsonOption = Annotated[bool, typer.Option("--json", help="Print the API's JSON and nothing else.")]


class WrongUsageError(ValueError):
    """The command cannot be understood as written; the text is a sentence."""


class FailedError(Exception):
    """The thing did not work; the text is a sentence."""


def refuse_options_before(ctx: typer.Context) -> None:
    """Options stand behind a subcommand: it has them itself and would not see them here, and might ask another server than was meant."""
    for name in ("as_json", *SERVER_OPTIONS):
        source = ctx.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise WrongUsageError(f"Put the options behind the subcommand: {ctx.command_path} {ctx.invoked_subcommand} ... --api URL.")


class Surroundings(Struct, frozen=True, kw_only=True):
    """What a command takes from outside. Tests hand in their own as the `obj` of the command's context."""

    transport: httpx.BaseTransport | None = None
    now_s: Callable[[], float] = SystemClock().now_s
    pause: Callable[[float], None] = sleep


class Server(Struct, frozen=True, kw_only=True):
    """The server that a command's options name, and what the command takes from outside."""

    ctx: typer.Context
    around: Surroundings
    address: str
    token: str | None
    data_dir: Path

    def client(self) -> ApiClient:
        """A connection to it."""
        return ApiClient(self.address, resolve_token(self.token, self.data_dir), transport=self.around.transport)


def asks_server(command: Callable[Concatenate[Server, P], None]) -> Callable[..., None]:
    """A command with the options that name the server; it is given the `Server` in their place, as its first argument."""
    own = list(signature(command).parameters.values())[1:]

    def run(ctx: typer.Context, **given: Any) -> None:
        address, token, data_dir = (given.pop(name) for name in SERVER_OPTIONS)
        around = ctx.obj if isinstance(ctx.obj, Surroundings) else Surroundings()
        asked: Any = command
        asked(Server(ctx=ctx, around=around, address=address, token=token, data_dir=data_dir), **given)

    context = Parameter("ctx", Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    shown = [context, *own, *_SERVER_PARAMETERS]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {each.name: each.annotation for each in shown}
    run.__signature__ = Signature(shown)  # type: ignore[attr-defined]  # what typer reads the options from
    return run


SERVER_OPTIONS: dict[str, tuple[Any, Any]] = {
    "api": (
        Annotated[
            str,
            typer.Option(
                "--api", envvar="COUNTERFLOW_API_URL", metavar="URL", help="Address of the HTTP API.", rich_help_panel=SERVER_PANEL
            ),
        ],
        DEFAULT_URL,
    ),
    "token": (
        Annotated[
            str | None,
            typer.Option(
                "--token",
                envvar="COUNTERFLOW_TOKEN",
                metavar="TOKEN",
                help="Bearer token; otherwise it is read from the data dir.",
                rich_help_panel=SERVER_PANEL,
            ),
        ],
        None,
    ),
    "data_dir": (
        Annotated[
            Path,
            typer.Option(
                "--data-dir",
                envvar="COUNTERFLOW_DATA_DIR",
                metavar="DIR",
                help="Data dir of the server, where its token is.",
                rich_help_panel=SERVER_PANEL,
            ),
        ],
        Path(DEFAULT_DATA_DIR),
    ),
}
"""Type and default of each option that names the server."""

_SERVER_PARAMETERS = [
    Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=kind) for name, (kind, default) in SERVER_OPTIONS.items()
]


def screen() -> Console:
    """Standard output, for people."""
    return Console(highlight=False, markup=False)


def complain(sentence: str) -> None:
    """One sentence on standard error."""
    typer.echo(f"Error: {visible(sentence)}", err=True)


def note(sentence: str) -> None:
    """One remark on standard error, so that it never mixes with what is piped on."""
    typer.echo(visible(sentence), err=True)


def usage_words(error: TyperException) -> str:
    """What the parser says of a command line, as a sentence, and where the help is."""
    said = error.format_message().strip()
    for pattern, words in _PARSER_WORDS:
        said = pattern.sub(words, said)
    path = getattr(getattr(error, "ctx", None), "command_path", "counterflow")
    return f"{said if said.endswith(('.', '?')) else said + '.'} '{path} --help' shows how it is written."


_PARSER_WORDS = (
    (re.compile(r"Value error, "), ""),
    (re.compile(r"[Ii]nput should be a valid (integer|number), unable to parse string as an? \w+"), r"this must be a whole \1"),
    (re.compile(r"whole integer"), "whole number"),
    (re.compile(r"[Ii]nput should be "), "this must be "),
    (re.compile(r"Got unexpected extra argument\(?s?\)? \((.*)\)"), r"There is more than this command takes: '\1'"),
)
"""The parser's messages name its own workings; the rest of them is in words already."""


class SentenceGroup(TyperGroup):
    """The root of the commands: expected failures end as one sentence and an exit code, never as a traceback."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Read the options of the root. Without any argument the parser shows the help in its own way."""
        if not args:
            return super().make_context(info_name, args, parent, **extra)
        try:
            return super().make_context(info_name, args, parent, **extra)
        except TyperException as error:
            complain(usage_words(error))
            raise typer.Exit(error.exit_code) from None

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except TyperException as error:
            complain(usage_words(error))
            raise typer.Exit(error.exit_code) from None
        except (WrongUsageError, WrongAddressError, UnitError) as error:
            complain(str(error))
            raise typer.Exit(2) from None
        except ApiError as error:
            complain(error.sentence)
            raise typer.Exit(1) from None
        except FailedError as error:
            complain(str(error))
            raise typer.Exit(1) from None
