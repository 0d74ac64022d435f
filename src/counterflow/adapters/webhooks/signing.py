"""How a receiver knows that a post is ours, and not an old one sent again by somebody else."""

import hmac
from hashlib import sha256

SIGNATURE = "Counterflow-Signature"
OLD_S = 300.0


def signature(secret: str, body: bytes, at_s: float) -> str:
    """`t=<epoch seconds>,v1=<HMAC-SHA256 of "<t>.<body>", hexadecimal>`."""
    second = str(int(at_s))
    return f"t={second},v1={_mac(secret, second, body)}"


def is_ours(secret: str, body: bytes, header: str, now_s: float) -> bool:
    """What a receiver does: the signature is right, and not older than five minutes."""
    parts = dict(part.partition("=")[::2] for part in header.split(","))
    second = parts.get("t", "")
    if not (second.isascii() and second.isdigit()) or abs(now_s - int(second)) > OLD_S:
        return False
    return hmac.compare_digest(_mac(secret, second, body).encode(), parts.get("v1", "").encode())


def _mac(secret: str, second: str, body: bytes) -> str:
    return hmac.new(secret.encode(), second.encode() + b"." + body, sha256).hexdigest()
