"""The SHA-256 sums of the files of a report, as `sha256sum -c` reads them."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

MANIFEST = "SHA256SUMS"


def manifest(files: Mapping[str, bytes]) -> bytes:
    """One line a file, by name."""
    return "".join(f"{sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items())).encode()


def broken_files(folder: Path, *, only: frozenset[str] | None = None) -> list[str] | None:
    """A sentence for each file that the manifest of a folder names and that is not as it says; None = there is no manifest.

    `only` these files, where it is given.
    """
    try:
        lines = (folder / MANIFEST).read_text("utf-8").splitlines()
    except OSError:
        return None
    except UnicodeError:
        return [f"{MANIFEST} is no list of sums."]
    found: list[str] = []
    for line in lines:
        digest, _, name = line.partition("  ")
        name = name.strip()
        if only is not None and name not in only:
            continue
        if not name or Path(name).name != name:
            found.append(f"{MANIFEST} has a line that names no file of this folder: '{line}'.")
            continue
        try:
            content = (folder / name).read_bytes()
        except OSError:
            found.append(f"{name} is missing: {MANIFEST} names it.")
            continue
        if sha256(content).hexdigest() != digest.lower():
            found.append(f"{name} is not the file that {MANIFEST} was written for: its SHA-256 is another.")
    return found
