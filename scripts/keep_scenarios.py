"""Keep a run of `counterflow bench scenarios` in docs/: its figures, its pictures, and the table made of them. Argument: its folder."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Copy, then make the pages anew."""
    folder = Path(sys.argv[1])
    shutil.copyfile(folder / "scenarios.json", ROOT / "docs" / "scenarios.json")
    for picture in folder.glob("*.png"):
        shutil.copyfile(picture, ROOT / "docs" / "pictures" / f"tracking-{picture.name}")
    return subprocess.run([sys.executable, str(ROOT / "scripts" / "generate_docs.py")], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
