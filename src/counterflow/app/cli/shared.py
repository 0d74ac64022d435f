"""What all commands share: the options that name the server, the two terminals, and one place where errors become sentences.

Exit codes: 0 done, 1 the server refused or the thing failed, 2 wrong usage, 130 stopped by Ctrl-C.
"""

import re
from collections.abc import Callable
from pathlib import Path
from time import sleep
from typing import Annotated, Any

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

ApiOption = Annotated[
    str, typer.Option("--api", envvar="COUNTERFLOW_API_URL", metavar="URL", help="Address of the HTTP API.", rich_help_panel=SERVER_PANEL)
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="COUNTERFLOW_TOKEN",
        metavar="TOKEN",
        help="Bearer token; otherwise it is read from the data dir.",
        rich_help_panel=SERVER_PANEL,
    ),
]
DataDirOption = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        envvar="COUNTERFLOW_DATA_DIR",
        metavar="DIR",
        help="Data dir of the server, where its token is.",
        rich_help_panel=SERVER_PANEL,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the API's JSON and nothing else.")]

API_URL = DEFAULT_URL
DATA_DIR = Path(DEFAULT_DATA_DIR)


class WrongUsageError(ValueError):
    """The command cannot be understood as written; the text is a sentence."""


class FailedError(Exception):
    """The thing did not work; the text is a sentence."""


class Surroundings(Struct, frozen=True, kw_only=True):
    """What a command takes from outside. Tests hand in their own as the `obj` of the command's context."""

    transport: httpx.BaseTransport | None = None
    now_s: Callable[[], float] = SystemClock().now_s
    pause: Callable[[float], None] = sleep


def surroundings(ctx: typer.Context) -> Surroundings:
    """The surroundings of this run."""
    return ctx.obj if isinstance(ctx.obj, Surroundings) else Surroundings()


def connect(ctx: typer.Context, api: str, token: str | None, data_dir: Path) -> ApiClient:
    """A client of the server that the options name."""
    return ApiClient(api, resolve_token(token, data_dir), transport=surroundings(ctx).transport)


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
