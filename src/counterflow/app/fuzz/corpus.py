"""Inputs worth keeping, one file a target: a line of base64 an input, so that bytes of any kind live well with version control."""

import base64
import binascii
from collections.abc import Iterable, Sequence
from pathlib import Path


def read_corpus(folder: Path, target: str) -> Sequence[bytes]:
    """The inputs of a target; none where there is no file. Raises ValueError that names the line which is no base64."""
    path = folder / f"{target}.txt"
    if not path.exists():
        return ()
    inputs = []
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), start=1):
        try:
            inputs.append(base64.b64decode(line, validate=True))
        except binascii.Error:
            raise ValueError(f"Line {number} of {path} is not base64.") from None
    return inputs


def write_corpus(folder: Path, target: str, inputs: Iterable[bytes]) -> None:
    """Keep these, each once, the shortest first."""
    lines = [base64.b64encode(one).decode() + "\n" for one in sorted(set(inputs), key=lambda one: (len(one), one))]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{target}.txt").write_text("".join(lines), encoding="ascii")
