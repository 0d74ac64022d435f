"""The root: every command has an example, and nothing expected ends as a traceback."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from counterflow import __version__
from counterflow.app.cli import app

WANTED = {
    *(
        "serve",
        "simulate",
        "dispatch",
        "sessions",
        "fleet",
        "dispatches",
        "report",
        "amend",
        "stream",
        "cancel",
        "clear-all",
        "emergency-stop",
        "call",
    ),
    *("stations", "stations list", "stations show", "stations add", "stations remove"),
}


def commands() -> Iterator[tuple[str, Any]]:
    root: Any = typer.main.get_command(app)
    for name, command in root.commands.items():
        yield name, command
        for inner, sub in getattr(command, "commands", {}).items():
            yield f"{name} {inner}", sub


def test_every_command_of_the_house_is_there() -> None:
    assert {name for name, _ in commands()} >= WANTED


@pytest.mark.parametrize("name", sorted(name for name, _ in commands()))
def test_help_explains_itself_with_an_example(counterflow: Any, name: str) -> None:
    result = counterflow(*name.split(), "--help")
    assert result.exit_code == 0
    assert f"Example: counterflow {name}" in " ".join(result.stdout.split())
    assert max(map(len, result.stdout.splitlines())) <= 80
    command = dict(commands())[name]
    for parameter in command.params:
        if parameter.name != "help":
            assert getattr(parameter, "help", None), f"{name}: {parameter.name} has no help"


def test_version_and_nothing_at_all(counterflow: Any) -> None:
    assert counterflow("--version").stdout == f"counterflow {__version__}\n"
    bare = counterflow()
    assert bare.exit_code == 2
    assert "Usage: counterflow" in bare.output


@pytest.mark.parametrize(
    "command",
    [
        ["fleet"],
        ["sessions"],
        ["stations"],
        ["stations", "show", "X"],
        ["stations", "add", "X"],
        ["stations", "remove", "X"],
        ["call", "X", "Reset"],
        ["dispatches"],
        ["dispatch", "1MW", "1h"],
        ["amend", "d", "--power", "1MW"],
        ["cancel", "d"],
        ["report", "d"],
        ["clear-all"],
        ["emergency-stop"],
    ],
)
def test_a_server_that_is_down_is_one_sentence_from_every_command(command: list[str], tmp_path: Any) -> None:
    from typer.testing import CliRunner

    address = "http://127.0.0.1:1"  # nothing listens on port 1
    result = CliRunner().invoke(app, [*command, "--api", address, "--data-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert (
        result.stderr
        == f"Error: No Counterflow server answers at {address}. Start one with 'counterflow serve', or name another with --api.\n"
    )
    assert result.stdout == ""


def test_the_client_commands_do_not_load_the_server() -> None:
    """They must start at once: no web framework, no arrays, no plots."""
    script = (
        "import sys, counterflow.app.cli; print([m for m in ('fastapi', 'numpy', 'pyarrow', 'matplotlib', 'uvloop') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["dispach"], "No such command 'dispach'. Did you mean 'dispatch', 'dispatches'? 'counterflow --help' shows how it is written."),
        (["--verbose"], "No such option: --verbose (Possible options: --version). 'counterflow --help' shows how it is written."),
        (["stations", "ad"], "No such command 'ad'. Did you mean 'add'? 'counterflow stations --help' shows how it is written."),
        (["report", "d-1", "--format", "xls"], "Invalid value for '--format': 'xls' is not one of 'json', 'csv', 'parquet', 'png', 'pdf'."),
        (["sessions", "--limit"], "Option '--limit' requires an argument."),
        (["sessions", "--limit", "-1"], "Invalid value for '--limit': this must be greater than or equal to 0."),
    ],
)
def test_what_the_parser_cannot_read_is_one_sentence_too(counterflow: Any, arguments: list[str], sentence: str) -> None:
    result = counterflow(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {sentence}")
    assert result.stderr.count("\n") == 1
