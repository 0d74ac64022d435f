"""Shared by the OCPP tests: the official JSON schemas, examples made from them, and a judge that knows them."""

import importlib.util
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

Schema = dict[str, Any]


def _folder() -> Path:
    spec = importlib.util.find_spec("ocpp")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "v21" / "schemas"


@pytest.fixture(scope="session")
def official_schemas() -> dict[str, Schema]:
    """The official OCPP 2.1 schemas by message name (`BootNotificationRequest`)."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8-sig")) for path in sorted(_folder().glob("*.json"))}


@pytest.fixture(scope="session")
def schema_admits(official_schemas: dict[str, Schema]) -> Callable[[str, Any], bool]:
    """`schema_admits("BootNotificationRequest", payload)`: the verdict of jsonschema-rs, timestamps included."""
    judges = {name: jsonschema_rs.validator_for(schema, validate_formats=True) for name, schema in official_schemas.items()}
    return lambda name, payload: bool(judges[name].is_valid(payload))


@pytest.fixture(scope="session")
def example_of(official_schemas: dict[str, Schema]) -> Callable[[str, random.Random], dict[str, Any]]:
    """`example_of("BootNotificationRequest", random.Random(1))`: a valid payload, optional fields present or not at random."""

    def of(node: Schema, root: Schema, rng: random.Random) -> Any:
        if "$ref" in node:
            return of(root["definitions"][node["$ref"].rpartition("/")[2]], root, rng)
        if "enum" in node:
            return rng.choice(node["enum"])
        match node.get("type"):
            case "object":
                if node.get("javaType") == "CustomData":
                    return {"vendorId": "org.example"}
                return {
                    name: of(field, root, rng)
                    for name, field in node["properties"].items()
                    if name in node.get("required", ()) or rng.random() < 0.5
                }
            case "array":
                most = min(node.get("maxItems", 3), node.get("minItems", 0) + 2)
                return [of(node["items"], root, rng) for _ in range(rng.randint(max(node.get("minItems", 0), 1), most))]
            case "string" if node.get("format") == "date-time":
                return rng.choice(["2026-11-22T10:00:00Z", "2026-11-22T10:00:00.123Z", "2026-11-22T11:00:00+01:00"])
            case "string":
                return "x" * rng.randint(1, min(node.get("maxLength", 20), 40))
            case "integer":
                return rng.randint(int(node.get("minimum", -5)), int(node.get("maximum", 100)))
            case "number":
                return round(rng.uniform(node.get("minimum", -5.0), node.get("maximum", 100.0)), 3)
            case "boolean":
                return rng.random() < 0.5
            case _:
                return {"free": ["form", 1]}

    return lambda name, rng: of(official_schemas[name], official_schemas[name], rng)
