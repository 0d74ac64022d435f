import jsonschema_rs
import msgspec
import pytest
from fastapi.openapi.models import OpenAPI

from counterflow.adapters.web.documents import documented
from counterflow.adapters.web.examples import EXAMPLES
from counterflow.adapters.web.glossary import WORDS, words


@pytest.fixture
def document(client):
    response = client.ask("GET", "/openapi.json", whole=True)
    assert response.headers["content-type"] == "application/json"
    return response.json()


def operations_of(document):
    return [(path, method, operation) for path, methods in document["paths"].items() for method, operation in methods.items()]


def nodes(value):
    yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(child)


def test_the_document_is_valid_openapi(document):
    assert document["openapi"].startswith("3.1")
    OpenAPI.model_validate(document)
    identities = [operation["operationId"] for _, _, operation in operations_of(document)]
    assert len(identities) == len(set(identities))


def test_every_reference_leads_somewhere_and_every_schema_is_one(document):
    for node in nodes(document):
        if isinstance(node, dict) and isinstance(reference := node.get("$ref"), str):
            target = document
            for part in reference.removeprefix("#/").split("/"):
                target = target[part]
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_every_field_of_every_body_and_answer_is_described(document):
    for name, schema in document["components"]["schemas"].items():
        for field, described in schema.get("properties", {}).items():
            text = described.get("description") or " ".join(part.get("description", "") for part in described.get("anyOf", []))
            assert text.strip(), f"{name}.{field}"


@pytest.mark.parametrize("ending", ["_w", "_wh", "_s", "_frac"])
def test_quantities_carry_their_unit(ending):
    unit = {"_w": "[W]", "_wh": "[Wh]", "_s": "[s]", "_frac": "[0..1]"}[ending]
    names = [name.split(".")[-1] for name in WORDS if name.endswith(ending) and not name.endswith("_per_s")]
    assert names
    assert all(words("", name).endswith(unit) for name in names)


def test_examples_fit_their_schemas(document):
    checked = 0
    for name, schema in document["components"]["schemas"].items():
        root = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        for example in schema.get("examples", []):
            jsonschema_rs.validate(root, example)
            checked += 1
    assert checked >= 12


@pytest.mark.parametrize("struct", sorted(EXAMPLES, key=lambda struct: struct.__name__))
def test_what_is_documented_is_what_is_sent(struct):
    sent = msgspec.json.decode(msgspec.json.encode(EXAMPLES[struct]))
    assert {field.alias or name for name, field in documented(struct).model_fields.items()} == set(sent)
    documented(struct).model_validate(sent)


def test_every_operation_has_words_and_its_problems(document):
    for path, method, operation in operations_of(document):
        assert operation.get("description"), (method, path)
        assert {"401", "500"} <= set(operation["responses"]) or operation.get("security") == [] or path == "/metrics"
        for status, response in operation["responses"].items():
            if status[0] in "45":
                assert list(response["content"]) == ["application/problem+json"], (method, path, status)


def test_only_health_needs_no_token(document):
    assert document["security"] == [{"token": []}]
    assert {path for path, _, operation in operations_of(document) if operation.get("security") == []} == {"/healthz", "/readyz"}
