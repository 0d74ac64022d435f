"""Commands about tokens and the audit log."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from counterflow.adapters.web.examples import EXAMPLES
from counterflow.domain.access import AuditEntry, TokenView

SECRET = "s3cret-that-is-shown-once-0123456789"


def test_a_new_token_is_printed_alone_on_standard_output(api: Any, counterflow: Any) -> None:
    api.will("POST", "/api/v1/tokens", replace(EXAMPLES[TokenView], token=SECRET), 201)
    result = counterflow("tokens", "add", "tso-north", "--role", "grid", "--for", "24h")
    assert result.stdout == SECRET + "\n"
    assert "cannot be shown again" in result.stderr
    (body,) = api.bodies
    assert (body["name"], body["role"]) == ("tso-north", "grid")
    assert body["expires_at_s"] > 86_400.0


def test_a_token_may_hold_for_a_year(api: Any, counterflow: Any) -> None:
    api.will("POST", "/api/v1/tokens", replace(EXAMPLES[TokenView], token=SECRET), 201)
    assert counterflow("tokens", "add", "tso-north", "--role", "grid", "--for", "365d").exit_code == 0
    assert api.bodies[0]["expires_at_s"] == api.now_s + 365 * 86_400.0
    refused = counterflow("tokens", "add", "tso-north", "--role", "grid", "--for", "4000d")
    assert refused.exit_code == 2
    assert "at most 3650 days" in refused.stderr


def test_tokens_are_listed_without_their_secrets(api: Any, counterflow: Any) -> None:
    api.will("GET", "/api/v1/tokens", [EXAMPLES[TokenView]])
    shown = counterflow("tokens", "list").stdout
    assert "tso-north" in shown
    assert "never" in shown
    assert msgspec.json.decode(counterflow("tokens", "list", "--json").stdout, type=list[TokenView]) == [EXAMPLES[TokenView]]


def test_a_token_is_revoked(api: Any, counterflow: Any) -> None:
    api.will("DELETE", "/api/v1/tokens/tso-north", EXAMPLES[TokenView])
    assert counterflow("tokens", "revoke", "tso-north").stdout == "The token of tso-north is void.\n"


def test_the_audit_log_is_shown_newest_first_as_it_comes(api: Any, counterflow: Any) -> None:
    api.will("GET", "/api/v1/audit", [EXAMPLES[AuditEntry]])
    shown = " ".join(counterflow("audit", "--last", "24h", "--most", "7").stdout.split())
    assert "api:tso-north" in shown
    assert "POST /api/v1/dispatches" in shown
    assert dict(api.requests[0].url.params)["most"] == "7"
    assert float(dict(api.requests[0].url.params)["since_s"]) > 0.0


@pytest.mark.parametrize("args", [("tokens", "add", "x"), ("tokens", "add"), ("audit", "--last", "-3h"), ("audit", "--most", "0")])
def test_what_cannot_be_understood_asks_nobody(api: Any, counterflow: Any, args: tuple[str, ...]) -> None:
    assert counterflow(*args).exit_code == 2
    assert api.requests == []
