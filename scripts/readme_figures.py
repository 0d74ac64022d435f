"""Write the README's table of figures from `docs/measured.json`, the last full run of `counterflow bench --json`, and the table of before
and after in docs/benchmarks.md, against `docs/measured-first.json`, the first version's run. `--check` only compares.

counterflow bench --json docs/measured.json && python scripts/readme_figures.py
"""

import json
import sys
from pathlib import Path
from typing import Any

from counterflow.app.bench.comparison import compared, slower

ROOT = Path(__file__).resolve().parent.parent
README, BENCHMARKS = ROOT / "README.md", ROOT / "docs" / "benchmarks.md"
MEASURED, FIRST = ROOT / "docs" / "measured.json", ROOT / "docs" / "measured-first.json"
BEGIN, END = "<!-- figures: made by scripts/readme_figures.py from docs/measured.json -->\n", "<!-- /figures -->"

ROWS = (
    ("gateway.1000.saturated.cpu_us", "CPU of the server per TransactionEvent, durable before its answer; 1,000 stations"),
    ("gateway.10000.saturated.cpu_us", "the same with 10,000 stations"),
    ("gateway.1000.saturated.per_s", "TransactionEvents per second on one core; 1,000 stations"),
    ("gateway.10000.saturated.per_s", "the same with 10,000 stations"),
    ("gateway.1000.cpu_ratio", "CPU of a server on `ocpp` + `websockets` that keeps nothing, over ours; 1,000 stations"),
    ("gateway.10000.cpu_ratio", "the same with 10,000 stations"),
    ("gateway.10000.paced.p99_ms", "wait for the answer at 2,000 messages a second, p99"),
    ("fan_out.s", "from the order to the last profile answered; 10,000 stations, two profiles each"),
    ("fan_out.metering.p99_ms", "wait of metering for its answers meanwhile, p99"),
    ("allocation.10000.hybrid.ms", "allocation over 10,000 sessions, hybrid"),
    ("allocation.100000.hybrid.ms", "allocation over 100,000 sessions, hybrid"),
    ("tick.100000.ms", "snapshot, learning and control tick over 100,000 sessions"),
    ("memory.plain.idle_kib", "memory per connected idle station"),
    ("ingest.per_s", "samples made durable per second"),
    ("storm.booted_s", "10,000 stations that connect at once: until the last BootNotification is answered"),
)


def table(measured: dict[str, Any]) -> str:
    """The figures that people ask for first, as measured: medians with their spread, those that miss their aim too."""
    machine, figures = measured["machine"], measured["figures"]
    where = f"{machine['cores']} cores of an {machine['processor']} ({machine['memory_gib']:g} GiB, Python {machine['python']})"
    lines = [
        f"`make bench` on {where}, {measured['finished_at'][:10]}; stations on one core, the server on the other.",
        "What each figure is: [benchmarks](docs/benchmarks.md).",
        "",
        "| | median | min to max | aim | |",
        "|---|---|---|---|---|",
    ]
    for key, words in ROWS:
        figure = figures[key]
        unit = figure["unit"].split(" ")[0].split("/")[0] if figure["unit"] not in ("messages/s", "samples/s") else "/s"
        unit = "×" if unit == "times" else unit
        spread = f"{_number(figure['min'])} to {_number(figure['max'])}"
        aim = f"{'≤' if figure['better'] == 'less' else '≥'} {_number(figure['aim'])}" if "aim" in figure else ""
        verdict = {True: "met", False: "**missed**", None: ""}[figure.get("met")]
        lines.append(f"| {words} | {_number(figure['median'])} {unit} | {spread} | {aim} | {verdict} |")
    return "\n".join([*lines, ""])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000.0 else f"{value:.3g}"


def before_and_after(first: dict[str, Any], measured: dict[str, Any]) -> str:
    """The same figures of the first version and now, both at the speed of the machine as it is now."""
    rows = {row.key: row for row in compared(first, measured)}
    lines = [
        f"First version: {first['finished_at'][:16]}; now: {measured['finished_at'][:16]}. In the later run the reference took",
        f"{slower(first, measured):.2f} times as long; times and rates of the first version are brought to that speed.",
        "`same` = the spreads overlap.",
        "",
        "| | first version | now | change | |",
        "|---|---|---|---|---|",
    ]
    for key, words in ROWS:
        row = rows[key]
        verdict = f"**{row.verdict}**" if row.verdict == "worse" else row.verdict
        lines.append(f"| {words} | {_number(row.expected)} | {_number(row.after)} | {row.change:+.0%} | {verdict} |")
    return "\n".join([*lines, ""])


def put(page: Path, content: str, *, check: bool) -> bool:
    """Put a table between its marks, or with `check` only say whether it is there. Returns whether all is well."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        print(f"{page.name} has lost the marks {BEGIN.strip()} and {END}.")
        return False
    written = before + BEGIN + content + END + after
    if not check:
        page.write_text(written, encoding="utf-8")
    elif written != text:
        print(f"{page.name} does not show docs/measured.json; run scripts/readme_figures.py")
    return not check or written == text


def main() -> int:
    """Both pages."""
    check = "--check" in sys.argv[1:]
    first, measured = (json.loads(path.read_text(encoding="utf-8")) for path in (FIRST, MEASURED))
    well = [put(README, table(measured), check=check), put(BENCHMARKS, before_and_after(first, measured), check=check)]
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
