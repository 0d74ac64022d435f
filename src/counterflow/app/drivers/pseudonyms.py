"""Names that stand for people and cars: a keyed hash, so that what is stored or logged tells nobody's token or EVCCID.

The same token has the same pseudonym as long as the data dir keeps its key; without the key nobody can tell whose it is, or try out
all tokens of a kind.
"""

import os
from hashlib import blake2b
from pathlib import Path
from secrets import token_bytes

KEY_FILE = "pseudonym-key"
KEY_BYTES = 32
DIGEST_BYTES = 12


class Pseudonyms:
    """`pseudonym(identifier)`; case does not matter (OCPP compares tokens without it). "" stays ""."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __call__(self, identifier: str) -> str:
        """24 hexadecimal digits."""
        if not identifier:
            return ""
        return blake2b(identifier.casefold().encode(), digest_size=DIGEST_BYTES, key=self._key, person=b"cf-token").hexdigest()


def ensure_key(data_dir: Path) -> bytes:
    """The key of a data dir; made with mode 0600 when there is none. Raises OSError with a sentence for one that is damaged."""
    path = data_dir / KEY_FILE
    if path.exists():
        key = path.read_bytes()
        if len(key) != KEY_BYTES:
            raise OSError(f"The pseudonym key {path} is damaged: put it back from a backup, or remove it to begin with new pseudonyms.")
        return key
    key = token_bytes(KEY_BYTES)
    # Written whole under another name first: a crash in between leaves no half key behind.
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return key
