"""An external certificate authority, asked over HTTP: the request goes out as JSON, the chain comes back."""

from typing import Any

import httpx
import msgspec
from cryptography import x509
from msgspec import Struct

from counterflow.adapters.certificates.parsing import UNREADABLE

LONGEST_CHAIN = 10_000
"""Characters that CertificateSigned can carry."""
_LARGEST_ANSWER = 64 * 1024


class CallOutError(Exception):
    """The external authority did not sign; the text is a sentence."""


class _Answer(Struct):
    certificate_chain: str


async def sign_by_call_out(url: str, question: dict[str, Any], timeout_s: float, client: httpx.AsyncClient | None = None) -> str:
    """POST `question` to `url`; the answer is `{"certificate_chain": "<PEM, leaf first>"}`. Raises `CallOutError`."""
    caller = client or httpx.AsyncClient()
    try:
        response = await caller.post(url, json=question, timeout=timeout_s)
    except httpx.HTTPError as error:
        raise CallOutError(f"The external authority cannot be reached ({type(error).__name__}).") from None
    finally:
        if client is None:
            await caller.aclose()
    if response.status_code != httpx.codes.OK:
        raise CallOutError(f"The external authority answered {response.status_code}.")
    if len(response.content) > _LARGEST_ANSWER:
        raise CallOutError("The external authority's answer is too large.")
    try:
        chain = msgspec.json.decode(response.content, type=_Answer).certificate_chain
        x509.load_pem_x509_certificates(chain.encode())
    except (msgspec.DecodeError, *UNREADABLE):
        raise CallOutError("The external authority's answer holds no certificate chain in PEM.") from None
    if len(chain) > LONGEST_CHAIN:
        raise CallOutError(f"The external authority's chain has {len(chain)} characters; OCPP carries {LONGEST_CHAIN}.")
    return chain
