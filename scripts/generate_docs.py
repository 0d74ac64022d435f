"""Write the tables in docs/ from the code: settings, fleet columns, state tables, reasons, metrics. `--check` only compares."""

import json
import runpy
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT, Meta, Struct
from msgspec.structs import fields
from prometheus_client.metrics_core import Metric

from counterflow.adapters.iec104.service import Iec104Figures
from counterflow.adapters.mqtt.wire import MqttFigures
from counterflow.adapters.ocpp.matrix import HEARD, LEFT_TO_PEOPLE, SAID
from counterflow.adapters.ocpp.transport import GatewayCounters
from counterflow.adapters.ocpp.versions import VERSIONS
from counterflow.adapters.storage.frames import FrameRing
from counterflow.adapters.storage.report_files import ReportFiles
from counterflow.adapters.storage.sqlite import SqliteJournal
from counterflow.adapters.storage.telemetry_store import TelemetryStore
from counterflow.adapters.web.metrics import Metrics
from counterflow.adapters.web.stream import EventStreams
from counterflow.app.bench.scenarios.show import markdown, outcomes_of
from counterflow.app.clock import SystemClock
from counterflow.app.config import ENVIRONMENT_PREFIX, SHORTCUTS, Settings
from counterflow.app.control_room import ControlRoom
from counterflow.app.desks.operations import LiveOperations
from counterflow.app.observing.iec104_metrics import Iec104Metrics
from counterflow.app.observing.metrics import ProcessMetrics
from counterflow.app.observing.mqtt_metrics import MqttMetrics
from counterflow.app.observing.notices import NoticeBoard
from counterflow.app.observing.openadr_metrics import OpenAdrMetrics
from counterflow.app.observing.recovery_metrics import RecoveryMetrics
from counterflow.app.observing.telemetry_metrics import TelemetryMetrics
from counterflow.app.observing.webhook_metrics import WebhookMetrics
from counterflow.app.settlement.reporting import Reporting
from counterflow.domain.notices import NOTICES
from counterflow.domain.reasons import REASON_WORDS
from counterflow.engine.control import book, ledger
from counterflow.engine.fleet.snapshot import COLUMNS
from counterflow.engine.offers import ledger as offer_ledger

DOCS = Path(__file__).resolve().parent.parent / "docs"
NOTE = "<!-- Made by `make docs` from the code; change it there. -->\n"


def settings_page() -> str:
    """Every setting with unit, default and meaning."""
    lines = [
        NOTE,
        "# Settings",
        "",
        "Read in this order, later wins: built-in defaults, the TOML file (`--config FILE`), environment variables, options of `serve`.",
        "An unknown or wrong setting stops the start with one sentence. A file holds only what differs from the default:",
        "",
        "```toml",
        "[stations]",
        "accept_unknown = false",
        "",
        "[drivers.default]",
        "consent = true",
        "min_soc_frac = 0.4",
        "",
        '[drivers.sites."depot-north"]          # a site narrows the default; what it leaves out stays',
        "departure_after_s = 28800.0",
        "",
        '[drivers.drivers."04A2B3C4D5"]         # and a driver, by id token, narrows both',
        "consent = false",
        "",
        "[[sites]]",
        'site_id = "depot-north"',
        "max_export_power_w = 400000.0",
        'pools = ["north"]',
        "```",
        "",
        "Settings with an option and an environment variable of their own:",
        "",
        "| option of `serve` | environment variable | setting |",
        "|---|---|---|",
    ]
    for shortcut, (section, name) in SHORTCUTS.items():
        lines.append(f"| `--{shortcut.replace('_', '-')}` | `{ENVIRONMENT_PREFIX}{shortcut.upper()}` | `[{section}] {name}` |")
    lines += ["| `--config` | `COUNTERFLOW_CONFIG` | the TOML file |", ""]
    for section, kind in _hints(Settings).items():
        many = get_origin(kind) is tuple
        bare = get_args(kind)[0] if many else _bare(kind)
        title = f"[[{section}]]" if many else f"[{section}]"
        lines += [f"## `{title}`", "", _first_sentence(bare), "", "| setting | unit | default | meaning |", "|---|---|---|---|"]
        lines += list(_rows(bare, ""))
        lines.append("")
    return "\n".join(lines)


def columns_page() -> str:
    """The columns of the fleet image."""
    lines = [NOTE, "# Columns of the fleet image", "", "| column | type | unit | empty | meaning |", "|---|---|---|---|---|"]
    lines += [f"| `{name}` | {c.dtype} | {c.unit} | {c.empty} | {c.meaning} |" for name, c in COLUMNS.items()]
    lines += ["", "# Why a session can or cannot be discharged", "", "| code | words |", "|---|---|"]
    lines += [f"| `{reason.name.lower()}` | {words} |" for reason, words in REASON_WORDS.items()]
    return "\n".join([*lines, ""])


def states_page() -> str:
    """The state tables as diagrams."""
    return "\n".join(
        [
            NOTE,
            "# State tables",
            "",
            "## A dispatch",
            "",
            *_diagram(_dispatch_moves()),
            "",
            "## A profile in the ledger",
            "",
            *_diagram((str(a or "none"), str(m), str(b or "none")) for (a, m), b in ledger.MOVES.items() if a is not b),
            "",
            "## A firm offer",
            "",
            *_diagram((str(a), str(m), str(b)) for (a, m), b in offer_ledger.MOVES.items()),
            "",
        ]
    )


def events_page() -> str:
    """The kinds of notices on the event stream."""
    lines = [
        NOTE,
        "# Events",
        "",
        "`GET /api/v1/events` streams what happens as server-sent events: `id` is the place in the stream, `event` the kind, `data` the",
        "notice as JSON with `at_s`, `kind`, `subject`, `text`, `values` and `id`. [The HTTP API](api.md) tells how to read it.",
        "",
        "| kind | subject | meaning | values |",
        "|---|---|---|---|",
    ]
    for name, kind in NOTICES.items():
        values = "; ".join(f"`{value}`: {words.rstrip('.')}" for value, words in kind.values.items()) or "-"
        lines.append(f"| `{name}` | {kind.subject} | {kind.meaning} | {values} |")
    return "\n".join([*lines, ""])


def _dispatch_moves() -> Iterator[tuple[str, str, str]]:
    """The moves of the book; a resumed dispatch ends as whatever stopped it says."""
    for (before, what), after in book.MOVES.items():
        if what is book.Move.RESUMED:
            yield from ((str(before), f"{what} after {stopped}", str(end)) for stopped, end in book.ENDS_AS.items())
        else:
            yield str(before), str(what), str(after)


def metrics_page() -> str:
    """The Prometheus metrics, read off a server that has just been put together."""
    lines = [
        NOTE,
        "# Metrics",
        "",
        "`GET /metrics` (Prometheus text format, behind the API token).",
        "",
        "| metric | type | labels | meaning |",
    ]
    lines.append("|---|---|---|---|")
    for family in sorted(_families(), key=lambda family: family.name):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(getattr(family, "_labelnames", ())) or "-"
        lines.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return "\n".join([*lines, ""])


def _families() -> list[Metric]:
    settings, board = Settings(), NoticeBoard("docs")
    with TemporaryDirectory() as folder, SqliteJournal(Path(folder) / "journal.sqlite3", settings.storage) as journal:
        room = ControlRoom(settings, journal, new_message_id=str, notify=board.publish)
        reports = ReportFiles(Path(folder))
        reporting = Reporting(journal, reports, settings.settlement, reports.newest)
        operations = LiveOperations(
            room,
            board=board,
            reporting=reporting,
            now_s=lambda: 0.0,
            settled=_settled,
            alarms=journal.alarms,
            disconnect=lambda _station: None,
        )
        store = TelemetryStore(Path(folder) / "telemetry.sqlite3", 1.0, lambda _records: None)
        own = ProcessMetrics(
            room,
            GatewayCounters(),
            journal,
            FrameRing(Path(folder), 0),
            RecoveryMetrics(room, SystemClock(), lambda: 0),
            TelemetryMetrics(store, lambda: 0.0),
            [MqttMetrics(MqttFigures), WebhookMetrics(tuple), OpenAdrMetrics({}), Iec104Metrics(Iec104Figures)],
        )
        families = list(Metrics(operations, own, EventStreams(1, 1.0)).families())
        store.close()
        return families


async def _settled() -> None:
    """Nothing to wait for."""


def versions_page() -> str:
    """Action by action: what each version has, what we make of it, and why."""
    versions = list(VERSIONS.values())
    names = [version.dialect.name for version in versions]
    lines = [
        NOTE,
        "# Versions of OCPP",
        "",
        f"On one port: {', '.join(names)}. Of the versions that a station offers and we serve the newest is agreed.",
        "Behind the OCPP adapter there is one kind of station and one kind of session; why a car is not discharged is said at its session.",
        "",
        "Only 2.1 knows setpoints. A car at a 2.0.1 or 1.6 station takes part in orders of the mode `relative` by charge reduction,",
        "where its driver agreed ([drivers](drivers.md)): a limit to charging with its end, 0 W or at least the car's minimum, in W, or",
        "in A where the station takes no W. It is never discharged, but at models that `[[ocpp.negative_limit_models]]` names, with rating",
        "and capacity where the station cannot tell those: they are told a charging limit below zero, with its end, and one whose meter",
        "does not show it within `ocpp.negative_limit_proof_s` is held out until a person releases it (`counterflow stations release`).",
        "",
        "| | OCPP 2.1 | OCPP 2.0.1 | OCPP 1.6 |",
        "|---|---|---|---|",
        "| discharge | CentralSetpoint in W | negative limit, named models only | negative limit, named models only |",
        "| charge reduction | TxProfile, `ChargingOnly`, `limit`, one period, `duration`, validTo | the same without a mode | as 2.0.1 |",
        "| how long a pause may be | as the car tells of departure and energy | the same, where it tells | `max_pause` of its driver |",
        "| who else steers | told (GetChargingProfiles) | told | not told |",
        "",
        "1.6 cannot tell who else steers a connector: `conflicts.discharge_untold` says whether such a one is used.",
        "",
        "## What stations send",
        "",
        f"| action | {' | '.join(names)} | what becomes of it |",
        f"|---|{'---|' * len(names)}---|",
    ]
    for action, words in HEARD.items():
        served = ("answered" if action in version.dialect.from_station else "-" for version in versions)
        lines.append(f"| {action} | {' | '.join(served)} | {words} |")
    lines += [
        "",
        "Anything else is answered with the error `NotImplemented`, or `NotSupported` when it is a request that only a CSMS sends.",
        "",
        "## What we send",
        "",
        "`itself`: sent by the server. `call`: only when a person sends it (`counterflow call`), held against the schema of the version.",
        "",
        f"| action | {' | '.join(names)} | what for, or why not by itself |",
        f"|---|{'---|' * len(names)}---|",
    ]
    for action in sorted({action for version in versions for action in version.dialect.to_station}):
        ways = ("-" if action not in version.dialect.to_station else "itself" if action in SAID else "call" for version in versions)
        lines.append(f"| {action} | {' | '.join(ways)} | {SAID.get(action) or LEFT_TO_PEOPLE[action]} |")
    return "\n".join([*lines, ""])


TABLE_BEGINS, TABLE_ENDS = "<!-- scenarios -->\n", "<!-- /scenarios -->\n"


def tracking_page() -> str:
    """The page as it is, with the table of the run whose figures are kept in docs/scenarios.json (`make scenarios`)."""
    page, kept = (DOCS / "tracking.md").read_text(encoding="utf-8"), DOCS / "scenarios.json"
    if not kept.exists():
        return page
    written = json.loads(kept.read_text(encoding="utf-8"))
    before, rest = page.split(TABLE_BEGINS)
    after = rest.split(TABLE_ENDS)[1]
    machine = written["machine"]
    said = (
        f"Counterflow {machine['counterflow']}, {written['seeds']} seeds, {written['took_s'] / 60.0:.0f} minutes; "
        f"{machine['processor']}, {machine['cores']} cores, with a load of {machine['load_average']} in the end. "
        f"Mean over the seeds, and the worst of them, which is judged.{' Quick: small fleets.' if written['quick'] else ''}"
    )
    table = markdown(outcomes_of(written), whole=True, quick=written["quick"])
    return f"{before}{TABLE_BEGINS}\n{said}\n\n{table}\n{TABLE_ENDS}{after}"


PAGES = {
    "tracking.md": tracking_page,
    "ocpp-versions.md": versions_page,
    "settings.md": settings_page,
    "columns.md": columns_page,
    "states.md": states_page,
    "metrics.md": metrics_page,
    "events.md": events_page,
    **runpy.run_path(str(Path(__file__).with_name("program_pages.py")))["pages"](),
}


def main() -> int:
    """Write the pages, or with `--check` say which are out of date."""
    stale = []
    for name, page in PAGES.items():
        path, text = DOCS / name, page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv:
        print(f"out of date: {', '.join(stale)}; run make docs")
        return 1
    return 0


def _rows(kind: type[Struct], prefix: str) -> list[str]:
    """A row a setting; tables by a name of the user's are written `<name>`. Raises ValueError for a setting without a meaning."""
    rows: list[str] = []
    hints = _hints(kind)
    for field in fields(kind):
        name, hint = f"{prefix}{field.name}", hints[field.name]
        bare = _bare(hint)
        if isinstance(bare, type) and issubclass(bare, Struct):
            rows += _rows(bare, f"{name}.")
            continue
        meta = _meta(hint)
        if meta is None or not meta.description:
            raise ValueError(f"The setting '{name}' of {kind.__name__} has no description.")
        shown = "-" if field.default in (NODEFAULT, None) else f"`{_plain(field.default)}`"
        rows.append(f"| `{name}` | {(meta.extra or {}).get('unit', '-')} | {shown} | {meta.description} |")
        if get_origin(bare) is dict:
            rows += _rows(get_args(bare)[1], f"{name}.<name>.")
        elif get_origin(bare) is tuple and isinstance(get_args(bare)[0], type) and issubclass(get_args(bare)[0], Struct):
            rows += _rows(get_args(bare)[0], f"{name}[].")
    return rows


def _plain(value: Any) -> Any:
    """A default as people write it: words instead of members of an enumeration."""
    return tuple(str(one) if isinstance(one, StrEnum) else one for one in value) if isinstance(value, tuple) else value


def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _bare(kind: Any) -> Any:
    """Without what is said of it; of a section that may be left out, the section."""
    if get_origin(kind) in (Union, UnionType):
        sections = [part for part in get_args(kind) if isinstance(part, type) and issubclass(part, Struct)]
        return sections[0] if sections else kind
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _meta(kind: Any) -> Meta | None:
    """What is said of a setting, or of the one kind of value that an optional setting takes."""
    if get_origin(kind) is Annotated:
        return next((item for item in get_args(kind)[1:] if isinstance(item, Meta)), None)
    parts = get_args(kind) if get_origin(kind) in (Union, UnionType) else ()
    return next((meta for part in parts if (meta := _meta(part)) is not None), None)


def _first_sentence(kind: type) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def _diagram(moves: Iterable[tuple[str, str, str]]) -> list[str]:
    """(before, what, after) as a diagram."""
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f"    {before} --> {after}: {what}" for before, what, after in moves]
    return [*lines, "```"]


if __name__ == "__main__":
    raise SystemExit(main())
