"""Write the README's table of figures from `docs/measured.json`, the last full run of `counterflow bench --json`. `--check` only compares.

counterflow bench --json docs/measured.json && python scripts/readme_figures.py
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
README, MEASURED = ROOT / "README.md", ROOT / "docs" / "measured.json"
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


def main() -> int:
    """Put the table between its marks, or with `--check` say whether it is there."""
    text = README.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        print(f"README.md has lost the marks {BEGIN.strip()} and {END}.")
        return 1
    written = before + BEGIN + table(json.loads(MEASURED.read_text(encoding="utf-8"))) + END + after
    if "--check" in sys.argv[1:]:
        if written != text:
            print("README.md does not show docs/measured.json; run scripts/readme_figures.py")
        return int(written != text)
    README.write_text(written, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
