"""The newest raw OCPP frames, for the question "what did the station really say": a ring of JSON-lines files of bounded size."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct

from counterflow.domain.ids import StationId

_WRITE_EVERY_S = 0.25
_WAITING_MAX = 50_000
_AT_ONCE = 500
_encode = msgspec.json.Encoder().encode


class Frame(Struct, frozen=True, gc=False):
    """One frame as it crossed the wire. `direction` is "in" (from the station) or "out"."""

    station_id: StationId
    direction: str
    received_s: float
    text: str


_Waiting = tuple[StationId, str, float, bytes | str]
"""A frame before the thread has spelled it out."""
_decode = msgspec.json.Decoder(Frame).decode


class FrameRing:
    """Keeps the newest frames in at most `max_bytes` of `frames-<n>.jsonl` files; 0 turns it off.

    `record` only appends to a list; a thread of its own writes. It never blocks, never raises and never fills the disk: what it
    cannot keep is counted in `dropped`, and `failed` says why while the disk refuses.
    """

    def __init__(self, directory: Path, max_bytes: int, segments: int = 8, hide: Callable[[str], str] = str) -> None:
        """`hide` takes secrets out of a text before it is written. Raises nothing for a bad disk: the ring is an aid, not a duty."""
        self.dropped = 0
        self.failed: str | None = None
        self._directory = directory
        self._hide = hide
        self._max_bytes = max_bytes
        self._segment_bytes = max_bytes // max(segments, 1)
        self._waiting: list[_Waiting] = []
        self._stop = threading.Event()
        self._write_lock = threading.Lock()
        self._current: Path | None = None
        self._current_bytes = 0
        self._thread: threading.Thread | None = None
        if max_bytes > 0:
            self._thread = threading.Thread(target=self._run, name="frame-ring", daemon=True)
            self._thread.start()

    def record(self, station_id: StationId, direction: str, received_s: float, text: bytes | str) -> None:
        """Keep one frame, if there is room; bytes are taken for UTF-8, and what is none is marked."""
        waiting = self._waiting
        if self._thread is None:
            return
        if len(waiting) >= _WAITING_MAX:
            self.dropped += 1
            return
        waiting.append((station_id, direction, received_s, text))

    def newest(self, station_id: StationId, count: int) -> Sequence[Frame]:
        """Up to `count` newest frames of a station, oldest first; lines that cannot be read are passed over."""
        self.write_out()
        needle = b'"station_id":' + _encode(station_id)
        found: deque[Frame] = deque()
        for path in reversed(segment_paths(self._directory)):
            kept: deque[Frame] = deque(maxlen=max(count - len(found), 0))
            try:
                with path.open("rb") as file:
                    kept.extend(
                        frame for line in file if needle in line and (frame := _read(line)) is not None and frame.station_id == station_id
                    )
            except OSError:
                continue  # the ring dropped it meanwhile
            found.extendleft(reversed(kept))
            if len(found) >= count:
                break
        return tuple(found)

    def write_out(self) -> None:
        """Write what waits now, on the caller's thread."""
        if self._thread is None:
            return
        with self._write_lock:
            while self._waiting:
                frames = self._waiting[:_AT_ONCE]
                del self._waiting[: len(frames)]
                self._write(frames)

    def close(self) -> None:
        """Write what waits and stop."""
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self.write_out()
            self._thread = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while not self._stop.wait(_WRITE_EVERY_S):
            self.write_out()

    def _write(self, frames: list[_Waiting]) -> None:
        try:
            lines = _encode_lines(frames, self._hide)
            for batch in _fitting(lines, self._segment_bytes):
                if not batch:
                    self.dropped += 1
                    continue
                self._append(batch)
        except (OSError, ValueError) as error:
            self.dropped += len(frames)
            self.failed = f"Raw frames cannot be kept in {self._directory}: {error}."
        else:
            self.failed = None

    def _append(self, lines: bytes) -> None:
        if self._current is None or self._current_bytes + len(lines) > self._segment_bytes:
            self._next_segment()
        if self._current is not None:
            self._current_bytes += len(lines)
            with self._current.open("ab") as file:
                file.write(lines)

    def _next_segment(self) -> None:
        """Begin a new file, after dropping the oldest until a full one fits in."""
        self._directory.mkdir(parents=True, exist_ok=True)
        paths = segment_paths(self._directory)
        total_bytes = sum(path.stat().st_size for path in paths)
        for path in paths:
            if total_bytes + self._segment_bytes <= self._max_bytes:
                break
            total_bytes -= path.stat().st_size
            path.unlink()
        number = _number(paths[-1]) + 1 if paths else 1
        self._current = self._directory / f"frames-{number:08d}.jsonl"
        self._current_bytes = 0


def segment_paths(directory: Path) -> list[Path]:
    """The ring's files, oldest first."""
    return sorted(path for path in directory.glob("frames-*.jsonl") if path.stem.removeprefix("frames-").isdigit())


def _number(path: Path) -> int:
    return int(path.stem.removeprefix("frames-"))


def _encode_lines(frames: list[_Waiting], hide: Callable[[str], str]) -> list[bytes]:
    lines = []
    for station_id, direction, received_s, text in frames:
        frame = Frame(station_id, direction, received_s, hide(text if isinstance(text, str) else text.decode("utf-8", "replace")))
        try:
            lines.append(_encode(frame) + b"\n")
        except UnicodeEncodeError:  # half a surrogate pair: keep the frame, mark the place
            marked = frame.text.encode("utf-8", "replace").decode()
            lines.append(_encode(msgspec.structs.replace(frame, text=marked)) + b"\n")
    return lines


def _fitting(lines: list[bytes], segment_bytes: int) -> list[bytes]:
    """Lines joined into pieces that each fit into a segment; b"" stands for a line that is larger than a segment."""
    pieces: list[bytes] = []
    start = size = 0
    for index, line in enumerate(lines):
        if len(line) > segment_bytes or size + len(line) > segment_bytes:
            if index > start:
                pieces.append(b"".join(lines[start:index]))
            start, size = index, 0
        if len(line) > segment_bytes:
            pieces.append(b"")
            start = index + 1
            continue
        size += len(line)
    if start < len(lines):
        pieces.append(b"".join(lines[start:]))
    return pieces


def _read(line: bytes) -> Frame | None:
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeError):
        return None  # the torn last line of a crash
