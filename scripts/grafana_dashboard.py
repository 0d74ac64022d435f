"""Makes docs/grafana/counterflow.json: a dashboard of the metrics that docs/metrics.md lists, to be provisioned as it is."""

import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "docs" / "grafana" / "counterflow.json"
ROWS: tuple[tuple[str, tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]], ...] = (
    (
        "Dispatch",
        (
            (
                "Target and measured",
                "watt",
                (("target", "counterflow_target_power_watts"), ("measured", "counterflow_measured_power_watts")),
            ),
            (
                "Headroom and what is available",
                "watt",
                (("headroom", "counterflow_headroom_power_watts"), ("available", "counterflow_available_power_watts")),
            ),
            (
                "Drop-outs and breaches",
                "cps",
                (
                    ("drop-outs", "rate(counterflow_drop_outs_total[5m])"),
                    ("{{guarantee}}", "rate(counterflow_guarantee_breaches_total[5m])"),
                ),
            ),
            (
                "Ready, stopped, alarms",
                "short",
                (
                    ("ready", "counterflow_ready"),
                    ("emergency stop", "counterflow_emergency_stop"),
                    ("alarms", "counterflow_alarms"),
                    ("running", "counterflow_dispatches_running"),
                ),
            ),
        ),
    ),
    (
        "Fleet",
        (
            (
                "Stations and sessions",
                "short",
                (
                    ("connected", "counterflow_stations_connected"),
                    ("known", "counterflow_stations_known"),
                    ("sessions", "counterflow_sessions"),
                    ("ready", "counterflow_sessions_ready"),
                ),
            ),
            ("Why sessions can or cannot be discharged", "short", (("{{reason}}", "counterflow_sessions_by_reason"),)),
            ("Profiles of ours", "short", (("{{state}}", "counterflow_ledger"), ("placed", "counterflow_profiles_placed"))),
            ("Warnings about stations", "cps", (("{{kind}}", "rate(counterflow_station_warnings_total[5m])"),)),
        ),
    ),
    (
        "Server",
        (
            (
                "Control tick",
                "s",
                (("last tick", "counterflow_tick_duration_seconds"), ("telemetry round", "counterflow_telemetry_round_seconds")),
            ),
            (
                "Ticks late and missed",
                "cps",
                (("late", "rate(counterflow_ticks_late_total[5m])"), ("missed", "rate(counterflow_ticks_missed_total[5m])")),
            ),
            ("Messages of stations", "cps", (("{{direction}}", "rate(counterflow_gateway_messages_total[1m])"),)),
            (
                "Journal",
                "short",
                (("not durable yet", "counterflow_journal_behind"), ("failed", "counterflow_journal_failed")),
            ),
            ("Outcome of our requests", "cps", (("{{outcome}}", "rate(counterflow_ocpp_outcomes_total[5m])"),)),
            ("HTTP", "cps", (("{{method}} {{status}}", "rate(counterflow_http_requests_total[1m])"),)),
        ),
    ),
    (
        "Grid operators",
        (
            ("OpenADR", "cps", (("{{vtn}} {{outcome}}", "rate(counterflow_openadr_requests_total[5m])"),)),
            ("MQTT", "short", (("waiting", "counterflow_mqtt_waiting"), ("connected", "counterflow_mqtt_connected"))),
            ("IEC 104", "short", (("masters", "counterflow_iec104_masters"),)),
            ("Commitments and forecasts", "short", (("binding", "counterflow_commitments_binding"),)),
        ),
    ),
)
"""Rows of panels: title, unit, and (legend, expression)."""
WIDTH, HEIGHT, IN_A_ROW = 12, 8, 2


def dashboard() -> dict[str, Any]:
    """The dashboard; its data source is chosen in Grafana."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        panels.append({"type": "row", "title": title, "collapsed": False, "gridPos": {"h": 1, "w": 24, "x": 0, "y": y}, "panels": []})
        y += 1
        for number, (name, unit, targets) in enumerate(row):
            place = {"h": HEIGHT, "w": WIDTH, "x": WIDTH * (number % IN_A_ROW), "y": y + HEIGHT * (number // IN_A_ROW)}
            panels.append(_panel(name, unit, targets, place))
        y += HEIGHT * -(-len(row) // IN_A_ROW)
    for number, panel in enumerate(panels, start=1):
        panel["id"] = number
    source = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return {
        "uid": "counterflow", "title": "Counterflow", "tags": ["counterflow"], "timezone": "browser", "schemaVersion": 39, "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"}, "templating": {"list": [source]}, "panels": panels,
    }  # fmt: skip


def _panel(title: str, unit: str, targets: tuple[tuple[str, str], ...], place: dict[str, int]) -> dict[str, Any]:
    return {
        "type": "timeseries", "title": title, "gridPos": place, "datasource": {"type": "prometheus", "uid": "${source}"},
        "fieldConfig": {"defaults": {"unit": unit, "custom": {"spanNulls": False, "lineWidth": 2}}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + number), "legendFormat": legend, "expr": expression}
            for number, (legend, expression) in enumerate(targets)
        ],
    }  # fmt: skip


def main() -> int:
    """Write it, or with `--check` say whether it is out of date."""
    text = json.dumps(dashboard(), indent=1) + "\n"
    if "--check" in sys.argv:
        return 0 if TARGET.read_text(encoding="utf-8") == text else 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
