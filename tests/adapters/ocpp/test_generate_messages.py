"""scripts/generate_messages.py and what is checked in are one."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_messages", ROOT / "scripts" / "generate_messages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_checked_in_messages_are_what_the_script_makes_of_the_official_schemas(script: ModuleType, number: int) -> None:
    version = script.VERSIONS[number]
    assert version.target.read_text(encoding="utf-8") == version.text()


def test_none_of_the_schemas_prose_is_taken_over(script: ModuleType, official_schemas: dict[str, Any]) -> None:
    text = re.sub(r"\W+", " ", script.VERSIONS[0].target.read_text(encoding="utf-8"))
    phrases = set()

    def collect(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("description"), str):
                words = re.sub(r"\W+", " ", node["description"]).split()
                phrases.update(" ".join(words[at : at + 6]) for at in range(max(len(words) - 5, 0)))
            for value in node.values():
                collect(value)
        elif isinstance(node, list):
            for value in node:
                collect(value)

    collect(official_schemas)
    assert len(phrases) > 5000
    assert [phrase for phrase in phrases if phrase in text] == []


@pytest.mark.parametrize(
    ("wire", "attribute"),
    [
        ("evseId", "evse_id"),
        ("maxChargePower_L2", "max_charge_power_l2"),
        ("limitAtSoC", "limit_at_soc"),
        ("soC", "soc"),
        ("evMinV2XEnergyRequest", "ev_min_v2x_energy_request"),
        ("v2xChargingParameters", "v2x_charging_parameters"),
        ("evSupportedDERControl", "ev_supported_der_control"),
        ("responderURL", "responder_url"),
        ("prioritizedEMAIDs", "prioritized_emaids"),
    ],
)
def test_attribute_names_keep_the_trades_abbreviations_whole(script: ModuleType, wire: str, attribute: str) -> None:
    assert script.snake_case(wire) == attribute


def test_two_definitions_under_one_name_are_refused(script: ModuleType) -> None:
    schemas = {
        "ARequest": {"definitions": {"XType": {"type": "object", "properties": {}}}},
        "BRequest": {"definitions": {"XType": {"type": "object", "properties": {"a": {"type": "string"}}}}},
    }
    with pytest.raises(ValueError, match="XType in two ways"):
        script.collect_types(schemas)


def test_a_json_type_without_a_python_type_is_refused(script: ModuleType) -> None:
    with pytest.raises(ValueError, match="no Python type"):
        script.annotation({"type": "null"}, script.Aliases())


def test_a_type_that_contains_itself_is_refused(script: ModuleType) -> None:
    inside = {"type": "object", "properties": {"again": {"$ref": "#/definitions/XType"}}}
    with pytest.raises(ValueError, match="contains itself"):
        script.collect_types({"ARequest": {"definitions": {"XType": inside}}})
