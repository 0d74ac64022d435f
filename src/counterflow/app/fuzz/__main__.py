"""`make fuzz`: each target in a process of its own under atheris (libFuzzer), then a table of executions, coverage and crashes.

    python -m counterflow.app.fuzz --for 60 [--target station] [--corpus tests/fuzz/corpus] [--keep]

What makes a target fail is left in `out/fuzz/<target>/crash-...`; `--keep` puts the inputs that found new code into the corpus.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from counterflow.app.fuzz.corpus import read_corpus, write_corpus

NAMES = (
    "station", "frames", "upgrade", "signing_request", "revocation_list", "driver_file", "settings_file", "quantities", "kept_frames",
    "program", "vtn",
)  # fmt: skip
_MOST_BYTES = 4096
"""Longest input that is made up."""
_KEPT_BYTES = 512
"""Longest input that is put into the corpus."""
_BOUNDS = ("-timeout=20", "-rss_limit_mb=2048")
"""An input that takes longer (s), or more memory, is a finding as well."""
_STATUS = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)")


def main(arguments: Sequence[str]) -> int:
    """Exit code 1 when a target failed."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Fuzz what reads what others wrote.")
    parser.add_argument("--for", dest="seconds", type=int, default=60, help="seconds for each target")
    parser.add_argument("--target", action="append", choices=NAMES, help="only this one; may be said several times")
    parser.add_argument("--corpus", type=Path, default=Path("tests/fuzz/corpus"), help="folder of the corpus")
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"), help="folder for inputs that make a target fail")
    parser.add_argument("--keep", action="store_true", help="put inputs that found new code into the corpus")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    known, rest = parser.parse_known_args(arguments)
    if known.alone is not None:
        _fuzz_alone(known.alone, rest)
        return 0
    print(f"{'target':16}{'executions':>12}{'coverage':>10}{'corpus':>8}{'crashes':>9}", flush=True)
    crashes = [_fuzz(target, known.seconds, known.corpus, known.out, known.keep) for target in known.target or NAMES]
    return min(1, sum(crashes))


def _fuzz(target: str, seconds: int, corpus: Path, out: Path, keep: bool) -> int:
    """One target; how many crashes there were. libFuzzer ends at the first, so it is begun again for what is left of the time."""
    artifacts = out / target
    artifacts.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for number, one in enumerate(read_corpus(corpus, target)):
            (Path(folder) / f"kept-{number:05}").write_bytes(one)
        before = set(artifacts.glob("crash-*"))
        options = (
            f"-max_total_time={seconds}",
            f"-max_len={_MOST_BYTES}",
            f"-artifact_prefix={artifacts}/",
            "-timeout=20",
            "-rss_limit_mb=2048",
        )
        command = [sys.executable, "-m", "counterflow.app.fuzz", "--alone", target, *options, folder]
        told = subprocess.run(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, check=False).stderr.decode(errors="replace")
        statuses = _STATUS.findall(told)
        executions, coverage, _, inputs = statuses[-1] if statuses else ("0", "0", "0", "0")
        found = sorted({path for kind in ("crash", "timeout", "oom") for path in artifacts.glob(f"{kind}-*")} - before)
        if not statuses:
            print(told, file=sys.stderr)
        print(f"{target:16}{executions:>12}{coverage:>10}{inputs:>8}{len(found):>9}", flush=True)
        for path in found:
            print(f"  {path}: {_what_failed(told)}", flush=True)
        if keep and not found:
            new = (path.read_bytes() for path in Path(folder).iterdir() if path.stat().st_size <= _KEPT_BYTES)
            write_corpus(corpus, target, (*read_corpus(corpus, target), *new))
    return len(found) if statuses else 1


def _what_failed(told: str) -> str:
    """The exception that ended the process, from atheris's traceback; libFuzzer's own word for a time-out or too much memory."""
    lines = told.splitlines()
    at = next((number for number, line in enumerate(lines) if "Uncaught Python exception" in line), None)
    words = lines[at + 1 : at + 2] if at is not None else [line for line in lines if line.startswith("SUMMARY")]
    return words[0].strip() if words else "run it through the target"


def _fuzz_alone(target: str, options: Sequence[str]) -> None:
    """In the child: instrument all of Counterflow while it is imported, and go on until the time is over. Does not return."""
    import atheris  # an extra of its own (`fuzz`): there are no wheels of it for every machine

    with atheris.instrument_imports(include=["counterflow"]):
        from counterflow.app.fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *options], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
