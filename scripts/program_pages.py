"""docs/mqtt.md and the JSON schemas of what programs and we say to each other, made from the Structs themselves."""

import json
import textwrap
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from counterflow.adapters.mqtt.topics import STATUS, STATUS_TOPIC, TOPICS, Topic
from counterflow.domain import program_words

SHAPES: dict[str, type[Struct]] = {
    name: kind
    for name, kind in vars(program_words).items()
    if isinstance(kind, type) and issubclass(kind, Struct) and kind.__module__ == program_words.__name__
}

ABOUT = """# MQTT

A program with `wire = "mqtt"` sends its orders and gets its answers, states and telemetry over a broker of yours, by MQTT 5. The server
is a client of that broker like the operator's system.

```toml
[[programs]]
name = "north"
wire = "mqtt"
sign = "generator"               # export is positive; "load": consumption is
unit = "kW"
max_discharge_power_w = 2_000_000

[mqtt]
host = "broker.example"
username = "vpp"
password_file = "/etc/counterflow/mqtt-password"   # or password_variable = "NAME"

[telemetry]
period_s = 1
```

`counterflow serve --config FILE` connects, and says on `<prefix>/status` (retained) that it is there; the broker says for it when it is
not (last will). A broker that is lost, or that refuses us a topic, is an alarm in `/healthz`; the server goes on, and tries again after a
pause that doubles up to `mqtt.retry_max_s`. TLS is on unless `tls = false`, and without it only a broker on this host is spoken to
(`mqtt.plain_beyond_this_host`). The password is read at each attempt and written nowhere.

## Topics

Below `<prefix>/<program>/` (`counterflow/north/`), where `<program>` is its `external_id`, or else its name;
a program whose operator says where its topics are gets `[mqtt.programs.north]` with `topics = "tso/area-7/vpp"`.
Everything is QoS 1, but for the set-points that we hear.

"""

RULES = """
## Rules

- **Sign and unit** are those of the program. An order states its unit, and one in another unit is refused; everything that goes out
  states both. Magnitudes (`up_power`, `down_power`, `up_energy`, `ramp_per_s`, `shortfall_power`) have no sign.
- **An order is its `key`.** The same key with the same content changes nothing (`unchanged`), with another content it is a change
  (`changed`): the dispatch goes on with the new steps. So a sender that hears no answer sends the same message again.
- **Every message is answered** on `answer`, and acknowledged to the broker only then: what was not dealt with when the server died comes
  again. A message that cannot be read, or has a field too many, is answered `malformed` with what is wrong and where; a flood of those gets
  `mqtt.malformed_per_min` answers, the rest is counted. What can be read and not be done is `refused`, with a sentence and a remedy.
- **A set-point is of now.** The broker keeps none for us (we subscribe with QoS 0, and not to retained ones), so that none of before an
  outage is followed after it; one whose `at` is older than `stream_timeout_s` is refused. With `sequence` or `at` a late one is known for
  one. When values stop, the last one holds and then falls to the baseline, as the program says
  (`stream_timeout_s`, `stream_hold_s`, `stream_ramp_down_s`).
- **Telemetry is at least once.** `pool` and `sequence` name a record: drop a record whose pair you have. `sequence` grows by one, also over
  restarts of the server, so a gap is a record that you have not got yet.
- **After an outage the newest record goes first**, at once, on `telemetry`; what was missed follows on `telemetry/replayed`, oldest first,
  up to `mqtt.replay_batch` records a message, each with `replayed: true`, while live records go on beside it. At least 5 days are kept
  (`telemetry.keep_days`); [ADR 29](adr/0029-live-first-the-rest-in-order.md) says why. Subscribe to `telemetry` for a picture of now, to
  `telemetry/#` for an archive.
- **`orders` is retained**: who subscribes gets all standing orders and the states of their dispatches. Keep your session (no clean start)
  to get what is said while you are away.

## Messages

Times are RFC 3339 with an offset. Outgoing messages may get further fields in later versions: pass over what you do not know. The schemas
are in [schemas](schemas).
"""


def pages() -> dict[str, Callable[[], str]]:
    """Each page by its path below docs/."""
    schemas = {f"schemas/{_file(kind)}": _schema_page(kind) for kind in _messages()}
    return {"mqtt.md": mqtt_page, **schemas}


def mqtt_page() -> str:
    """Topics and messages."""
    lines = ["| topic | | retained | message | meaning |", "|---|---|---|---|---|"]
    for name, topic in TOPICS.items():
        lines.append(_row(name, topic))
    lines.append(_row(f"<prefix>/{STATUS}", STATUS_TOPIC))
    return "\n".join([ABOUT.rstrip(), "", *lines, RULES.rstrip(), "", *_tables(), ""])


def _row(name: str, topic: Topic) -> str:
    kept, way = "yes" if topic.retained else "-", "to us" if topic.incoming else "from us"
    return f"| `{name}` | {way} | {kept} | [{_name(topic.message)}](schemas/{_file(topic.message)}) | {topic.meaning} |"


def _messages() -> list[type[Struct]]:
    return list(dict.fromkeys([*(topic.message for topic in TOPICS.values()), STATUS_TOPIC.message]))


def _tables() -> list[str]:
    lines: list[str] = []
    for name, kind in SHAPES.items():
        schema = _schema(kind)
        body = schema["$defs"][name] if "$defs" in schema and name in schema["$defs"] else schema
        about = " ".join((kind.__doc__ or "").split())
        lines += [f"### {_name(kind)}", "", *textwrap.wrap(about, 140), "", "| field | type | meaning |", "|---|---|---|"]
        required = set(body.get("required", ()))
        for field, of in body["properties"].items():
            must = "" if field in required else " (optional)"
            lines.append(f"| `{field}` | {_type(of)}{must} | {of.get('description') or _described(of)} |")
        lines.append("")
    return lines


def _type(of: dict[str, Any]) -> str:
    if "$ref" in of:
        return _ref(of["$ref"])
    if "anyOf" in of:
        return " or ".join(_type(part) for part in of["anyOf"])
    if of.get("type") == "array":
        return f"list of {_type(of['items'])}"
    return "instant" if of.get("format") == "date-time" else str(of.get("type", "any"))


def _ref(ref: str) -> str:
    name = ref.rpartition("/")[2]
    return _name(SHAPES[name]) if name in SHAPES else name


def _described(of: dict[str, Any]) -> str:
    return next((part["description"] for part in of.get("anyOf", ()) if "description" in part), "")


def _name(kind: type[Struct]) -> str:
    return kind.__name__.removesuffix("Words")


def _file(kind: type[Struct]) -> str:
    return f"{''.join(f'-{letter.lower()}' if letter.isupper() else letter for letter in _name(kind)).lstrip('-')}.json"


def _schema(kind: type[Struct]) -> dict[str, Any]:
    return msgspec.json.schema(kind)


def _schema_page(kind: type[Struct]) -> Callable[[], str]:
    def page() -> str:
        head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": _name(kind)}
        return json.dumps(head | _schema(kind), indent=1) + "\n"

    return page
