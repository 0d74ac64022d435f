"""The book of the built-in authority: what it has issued to stations, and what of that is revoked. One JSON object a line, only appended.

The revocation list is made from it. The server and `counterflow certificates issue` write to it at the same time, so each line is written
under a lock, and taken back when the disk takes only a part of it.
"""

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

_PRIVATE = 0o600


class Issued(Struct, frozen=True, kw_only=True):
    """One certificate. `serial` is hexadecimal without leading zeros; the instants are seconds since 1970."""

    serial: str
    name: str
    issued_at_s: float
    not_after_s: float
    revoked_at_s: float | None = None
    reason: str | None = None


class BookDamagedError(ValueError):
    """The book holds a line that cannot be read: what is revoked is not known. The text is a sentence."""


class IssuedBook:
    """The book at a path; there need be none yet."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, entries: Sequence[Issued], *, durable: bool) -> None:
        """Write what was issued or revoked; once revoked, a serial number stays so. Raises OSError.

        Not `durable`, a line survives the end of the process but not that of the machine. That is enough for what was issued (it can still
        be revoked by its serial number), and ten thousand stations that renew at once wait for no disk.
        """
        lines = b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _PRIVATE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            size_bytes = os.fstat(descriptor).st_size
            if os.write(descriptor, lines) < len(lines):
                os.ftruncate(descriptor, size_bytes)
                raise OSError(f"the disk has no place for {self._path}")
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def certificates(self, now_s: float) -> Sequence[Issued]:
        """All that are not over, in the order in which they were issued. Raises `BookDamagedError` and OSError."""
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return ()
        found: dict[str, Issued] = {}
        for number, line in enumerate(lines, start=1):
            try:
                entry = msgspec.json.decode(line, type=Issued)
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise BookDamagedError(f"line {number} of {self._path.name} cannot be read") from None
            known = found.get(entry.serial)
            if known is None or known.revoked_at_s is None:
                found[entry.serial] = entry
        return [entry for entry in found.values() if entry.not_after_s > now_s]
