"""The newest raw OCPP frames, for the question "what did the station really say": a ring of JSON-lines files of bounded size."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from counterflow.domain.ids import StationId

_WRITE_EVERY_S = 0.25
_WAITING_MAX = 50_000
_AT_ONCE = 500
_POOL: Final = pa.system_memory_pool()
"""Arrow's own keeps megabytes for itself, for a few hundred kilobytes of texts at a time."""
_encoder = msgspec.json.Encoder()
_encode, _encode_lines = _encoder.encode, _encoder.encode_lines


class Frame(Struct, frozen=True, gc=False):
    """One frame as it crossed the wire. `direction` is "in" (from the station) or "out"."""

    station_id: StationId
    direction: str
    received_s: float
    text: str


class Hiding(Struct, frozen=True):
    """What takes something out of frames: `hide` is asked only for those that hold one of the `hints`, in whatever case, or could."""

    hints: tuple[str, ...]
    hide: Callable[[str], str]


_COULD_HOLD: Final = (r"\\u", r"[^\x00-\x7f]")
"""A JSON escape could spell any hint, and so could letters that only fold to those of a hint."""
Waiting = tuple[StationId, str, float, bytes | str, bool]
"""A frame before the thread has spelled it out, and whether it needs no search."""
_decode = msgspec.json.Decoder(Frame).decode


class FrameRing:
    """Keeps the newest frames in at most `max_bytes` of `frames-<n>.jsonl` files; 0 turns it off.

    `record` only appends to a list; a thread of its own writes. It never blocks, never raises and never fills the disk: what it
    cannot keep is counted in `dropped`, and `failed` says why while the disk refuses.
    """

    def __init__(self, directory: Path, max_bytes: int, segments: int = 8, hidings: Sequence[Hiding] = ()) -> None:
        """`hidings` are done in turn before a text is written. Raises nothing for a bad disk: the ring is an aid, not a duty."""
        self.dropped = 0
        self.failed: str | None = None
        self._directory = directory
        self._hidings = tuple(hidings)
        self._hints = "|".join((*_COULD_HOLD, *(hint for hiding in hidings for hint in hiding.hints)))
        self._max_bytes = max_bytes
        self._segment_bytes = max_bytes // max(segments, 1)
        self._waiting: list[Waiting] = []
        self._stop = threading.Event()
        self._write_lock = threading.Lock()
        self._current: Path | None = None
        self._current_bytes = 0
        self._thread: threading.Thread | None = None
        if max_bytes > 0:
            self._flagged([b"warm"])
            self._thread = threading.Thread(target=self._run, name="frame-ring", daemon=True)
            self._thread.start()

    def record(self, station_id: StationId, direction: str, received_s: float, text: bytes | str, is_plain: bool = False) -> None:
        """Keep one frame, if there is room; bytes are taken for UTF-8, and what is none is marked. `is_plain` = whoever hands it over has
        seen that there is nothing to hide in it."""
        if self._thread is None:
            return
        waiting = self._waiting
        if len(waiting) >= _WAITING_MAX:
            self.dropped += 1
            return
        waiting.append((station_id, direction, received_s, text, is_plain))

    def record_all(self, frames: list[Waiting]) -> None:
        """Keep many."""
        if self._thread is None:
            return
        room = _WAITING_MAX - len(self._waiting)
        if room < len(frames):
            self.dropped += len(frames) - max(room, 0)
            frames = frames[: max(room, 0)]
        self._waiting.extend(frames)

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

    def _write(self, frames: list[Waiting]) -> None:
        try:
            pieces, too_large = _fitting(self._encode_lines(frames), self._segment_bytes)
            self.dropped += too_large
            for piece in pieces:
                self._append(piece)
        except (OSError, ValueError) as error:
            self.dropped += len(frames)
            self.failed = f"Raw frames cannot be kept in {self._directory}: {error}."
        else:
            self.failed = None

    def _encode_lines(self, frames: list[Waiting]) -> bytes:
        texts = [text.encode("utf-8", "replace") if isinstance(text, str) else text for _, _, _, text, _ in frames]
        shown = [text.decode("utf-8", "replace") for text in texts]
        doubtful = [index for index, frame in enumerate(frames) if not frame[4]] if self._hidings else []
        if doubtful:
            for place in self._flagged([texts[index] for index in doubtful]):
                index = doubtful[place]
                for hiding in self._hidings:
                    shown[index] = hiding.hide(shown[index])
        return _encode_lines(
            [
                Frame(station_id, direction, received_s, text)
                for (station_id, direction, received_s, _, _), text in zip(frames, shown, strict=True)
            ]
        )

    def _flagged(self, texts: list[bytes]) -> list[int]:
        """Which of the texts a hiding may have to look at. One pass of a compiled automaton over all: searching each text for each hint
        took as long as a third of what is done to a message."""
        flags = pc.match_substring_regex(pa.array(texts, pa.binary(), memory_pool=_POOL), self._hints, ignore_case=True, memory_pool=_POOL)
        found: list[int] = pc.indices_nonzero(flags, memory_pool=_POOL).tolist()
        return found

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


def _fitting(lines: bytes, segment_bytes: int) -> tuple[list[bytes], int]:
    """Pieces of whole lines that each fit into a segment, and how many lines are larger than that."""
    if len(lines) <= segment_bytes:
        return [lines], 0
    each = lines.splitlines(keepends=True)
    small = [line for line in each if len(line) <= segment_bytes]
    pieces: list[bytes] = []
    for line in small:
        if pieces and len(pieces[-1]) + len(line) <= segment_bytes:
            pieces[-1] += line
        else:
            pieces.append(line)
    return pieces, len(each) - len(small)


def _read(line: bytes) -> Frame | None:
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeError):
        return None  # the torn last line of a crash
