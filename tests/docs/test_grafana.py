"""The dashboard is current, and asks only for metrics that there are."""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DASHBOARD = ROOT / "docs" / "grafana" / "counterflow.json"


def test_the_dashboard_is_what_its_script_makes() -> None:
    assert subprocess.run([sys.executable, "scripts/grafana_dashboard.py", "--check"], cwd=ROOT, check=False).returncode == 0


def test_every_metric_of_the_dashboard_is_in_the_table() -> None:
    table = set(re.findall(r"^\| `(counterflow_\w+)`", (ROOT / "docs" / "metrics.md").read_text(), flags=re.MULTILINE))
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = {name for panel in panels for target in panel.get("targets", ()) for name in re.findall(r"counterflow_\w+", target["expr"])}
    assert len(asked) > 20
    assert asked <= table


def test_panels_do_not_lie_over_each_other() -> None:
    places = [panel["gridPos"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
    cells = [(x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
    assert len(cells) == len(set(cells))
