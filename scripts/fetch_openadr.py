"""Lays the official description of the OpenADR 3.1.0 API beside the virtual environment, where the conformance tests read it.

It is not in this repository. The source distribution of `openadr3` on PyPI carries it (resources/openadr3.yaml, Apache-2.0, word for word
that of the OpenADR Alliance's specification repository); the lock file says which one, and its hash. `make` runs it for the tests.
"""

import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements" / "dev.lock"
TARGET = Path(sys.prefix) / "share" / "openadr" / "3.1.0" / "openadr3.yaml"
MEMBER = "resources/openadr3.yaml"


def main() -> None:
    """Raises CalledProcessError if pip cannot have the distribution; it says itself why."""
    pinned = re.search(r"^openadr3==\S+ \\\n(?:    --hash=\S+(?: \\)?\n)+", LOCK.read_text(), re.MULTILINE)
    if pinned is None:
        sys.exit(f"{LOCK} does not name openadr3: run `make lock`.")
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "openadr3.txt"
        wanted.write_text(pinned[0])
        download = ["download", "-q", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-binary=openadr3"]
        subprocess.run([sys.executable, "-m", "pip", *download, "--require-hashes", "-r", str(wanted), "-d", folder], check=True)
        with tarfile.open(next(Path(folder).glob("openadr3-*.tar.gz"))) as archive:
            member = next(one for one in archive.getmembers() if one.name.endswith(MEMBER))
            content = archive.extractfile(member)
            assert content is not None, f"{member.name} is no file"
            TARGET.parent.mkdir(parents=True, exist_ok=True)
            TARGET.write_bytes(content.read())


if __name__ == "__main__":
    main()
