"""Secrets of wires: read from a file or an environment variable that the settings name, never written into the settings."""

import os
from pathlib import Path


class SecretError(ValueError):
    """One sentence: which secret cannot be had."""


def secret(file: str, variable: str) -> str | None:
    """The first line of the file, or the variable; None when neither is named. Raises SecretError."""
    if file:
        try:
            text = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise SecretError(f"The file {file} with a secret cannot be read: {why}.") from None
        lines = text.splitlines()
        if not lines or not lines[0].strip():
            raise SecretError(f"The file {file} with a secret is empty.")
        return lines[0].strip()
    if variable:
        found = os.environ.get(variable)
        if not found:
            raise SecretError(f"The environment variable {variable} with a secret is not set.")
        return found
    return None
