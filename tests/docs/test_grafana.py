"""The dashboard is current, and asks only for metrics that there are."""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DASHBOARD = ROOT / "docs" / "grafana" / "counterflow.json"
EXPRESSION = re.compile(r"rate\((?P<counter>counterflow_\w+)\[\d+m\]\)|(?P<gauge>counterflow_\w+)")
UNITS = (("_watts", "watt"), ("_watthours", "watth"), ("_seconds", "s"))
"""What Grafana calls the unit of a gauge, by the end of its name; all else is a number."""


def test_the_dashboard_is_what_its_script_makes() -> None:
    assert subprocess.run([sys.executable, "scripts/grafana_dashboard.py", "--check"], cwd=ROOT, check=False).returncode == 0


def metrics() -> dict[str, tuple[str, set[str]]]:
    """Type and labels of each metric in the table of the docs, which is made from what the server counts."""
    rows = re.findall(r"^\| `(counterflow_\w+)` \| (\w+) \| ([\w, -]+) \|", (ROOT / "docs" / "metrics.md").read_text(), flags=re.MULTILINE)
    return {name: (kind, set(labels.split(", ")) - {"-"}) for name, kind, labels in rows}


def test_every_expression_of_the_dashboard_asks_for_what_the_server_counts_in_its_unit() -> None:
    known = metrics()
    panels = [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]
    asked = set()
    for panel in panels:
        unit = panel["fieldConfig"]["defaults"]["unit"]
        for target in panel["targets"]:
            found = EXPRESSION.fullmatch(target["expr"])
            assert found is not None, target
            name = found["counter"] or found["gauge"]
            kind, labels = known[name]
            asked.add(name)
            assert kind == ("counter" if found["counter"] else "gauge"), f"{name}: counters by their rate, gauges as they are"
            told = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert told == labels, f"{name}: each of its lines is told apart by its legend"
            wanted = "cps" if found["counter"] else next((unit for end, unit in UNITS if name.endswith(end)), "short")
            assert unit == wanted, name
    assert len(asked) > 20


def test_panels_do_not_lie_over_each_other() -> None:
    places = [panel["gridPos"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
    cells = [(x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
    assert len(cells) == len(set(cells))
