"""The documents say what the code does: generated tables are current, links lead somewhere, named files exist."""

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from typer.main import get_command
from typer.testing import CliRunner

from counterflow.adapters.web.problems import STATUS_OF
from counterflow.app.cli import app
from counterflow.app.config import load
from counterflow.domain.ids import SiteId
from counterflow.domain.instructions import AllocationPolicy, DispatchMode
from counterflow.domain.notices import NOTICES
from counterflow.domain.views import RefusalKind

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_generated_tables_are_current() -> None:
    done = subprocess.run([sys.executable, "scripts/generate_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_setting_without_a_meaning_or_with_a_dash_for_one_is_not_written_down() -> None:
    maker: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "generate_docs.py"))

    class Bare(Struct):
        inner: dict[str, int] = {}

    with pytest.raises(ValueError, match=r"The setting 'section\.inner' of Bare has no description"):
        maker["_rows"](Bare, "section.")
    rows = [line for line in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert not [row for row in rows if row.endswith("| - |")]


def test_the_readme_shows_what_was_measured() -> None:
    done = subprocess.run([sys.executable, "scripts/readme_figures.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_metric_with_labels_names_them() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert "| `counterflow_http_requests_total` | counter | method, status |" in page
    assert "| `counterflow_ocpp_calls_total` | counter | action |" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_the_files_on_the_journey_exist() -> None:
    text = (ROOT / "docs" / "life-of-a-dispatch.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    assert len(rows) == 20
    for row in rows:
        folder = ""
        for name in re.findall(r"`([a-z_/]+(?:\.py|/))`", row.split("|")[2]):
            path = name if "/" in name.rstrip("/") else f"{folder}/{name}"
            folder = str(Path(path).parent) if path.endswith(".py") else path.rstrip("/").rpartition("/")[0]
            assert (ROOT / "src/counterflow" / path).exists(), f"{path} is named in life-of-a-dispatch.md and is not there"


def test_the_two_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def test_nothing_of_this_machine_is_named() -> None:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in done.stdout.split():
        path = ROOT / name
        if path.suffix != ".png" and path.is_file() and path != Path(__file__):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"/work/|/opt/(?:pypi|wheels)|files\.pythonhosted", text), f"{name} names a path of one machine"


def _blocks(page: Path, language: str = "") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_example_of_a_settings_file_is_understood(tmp_path: Path) -> None:
    (example,) = _blocks(ROOT / "docs" / "settings.md", "toml")
    file = tmp_path / "counterflow.toml"
    file.write_text(example, encoding="utf-8")
    settings = load(file, {}, {})
    assert settings.drivers.sites[SiteId("depot-north")].departure_after_s == 28_800.0
    assert settings.drivers.drivers["04A2B3C4D5"].consent is False


def test_the_settings_of_the_day_and_of_the_page_on_iec_104_are_understood(tmp_path: Path) -> None:
    file = tmp_path / "counterflow.toml"
    (iec104,) = _blocks(ROOT / "docs" / "iec104.md", "toml")
    file.write_text(iec104, encoding="utf-8")
    assert [one.common_address for one in load(file, {}, {}).iec104.stations] == [47]
    (added,) = _blocks(ROOT / "docs" / "day-in-the-life.md", "toml")
    file.write_text(CliRunner().invoke(app, ["vtn", "settings"]).stdout + added, encoding="utf-8")
    assert [program.name for program in load(file, {}, {}).programs] == ["v2g", "afrr"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_shown_has_the_options_that_are_shown(page: Path) -> None:
    root = get_command(app)
    lines = [line.partition("#")[0] for block in _blocks(page) for line in block.splitlines()]
    for line in lines:
        words = shlex.split(line) if "counterflow " in line else []
        if not words or not words[0].endswith("counterflow"):
            continue
        command = root
        for word in words[1:]:
            commands = getattr(command, "commands", {})
            command = commands.get(word, command)
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert command is not root, line
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given <= known, line
        needed = [parameter.opts for parameter in command.params if parameter.required and parameter.opts[0].startswith("--")]
        assert all(given.intersection(opts) for opts in needed), f"{line} lacks an option that it needs"


def test_the_api_page_names_every_path_and_every_kind_of_refusal() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert {kind.value for kind in RefusalKind} - set(re.findall(r"`([a-z-]+)`", text)) == set()
    assert {f"`{status}`" for status in STATUS_OF.values() if not re.search(rf"\b{status}\b", text)} == set()


def test_the_page_on_ordering_explains_every_mode_and_policy() -> None:
    text = (ROOT / "docs" / "ordering.md").read_text(encoding="utf-8")
    for word in (*DispatchMode, *AllocationPolicy):
        assert re.search(rf"^\| `{word.value}`", text, re.MULTILINE), word


def test_every_notice_that_the_code_sends_is_listed_and_the_other_way_round() -> None:
    sent: set[str] = set()
    for path in (ROOT / "src/counterflow").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        sent.update(re.findall(r'_say\(\s*now_s,\s*"([a-z_.]+)"', text))
        sent.update(re.findall(r'Notice\((?:[^()]|\([^()]*\))*?kind="([a-z_.]+)"', text))
    assert sent == set(NOTICES), "list in domain/notices.py what the event stream says, then run make docs"


def test_the_states_that_a_dispatch_ends_in_are_drawn() -> None:
    text = (ROOT / "docs" / "states.md").read_text(encoding="utf-8")
    for end in ("completed", "cancelled", "aborted"):
        assert f"resuming --> {end}: resumed" in text
