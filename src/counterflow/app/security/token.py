"""The API token: made at the first start, kept in the data dir for the owner's eyes only, found there by the command line."""

import os
from pathlib import Path
from secrets import token_urlsafe

TOKEN_FILE = "api-token"


def ensure_token(data_dir: Path) -> str:
    """The token of this data dir; made with mode 0600 when there is none."""
    known = find_token(data_dir)
    if known:
        return known
    token = token_urlsafe(32)
    # Written whole under another name first: a crash in between leaves no empty token behind.
    draft = data_dir / f"{TOKEN_FILE}.new"
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
    draft.replace(data_dir / TOKEN_FILE)
    return token


def find_token(data_dir: Path) -> str | None:
    """The token of a data dir, or None when there is none to be read."""
    try:
        return (data_dir / TOKEN_FILE).read_text(encoding="ascii").strip()
    except OSError:
        return None
