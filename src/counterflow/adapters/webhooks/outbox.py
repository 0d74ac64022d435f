"""Orders and reports that a receiver has not taken yet, on disk, in order, at most so many."""

from collections import deque
from uuid import uuid4

import msgspec
from msgspec import Struct

from counterflow.domain.grid import Wire
from counterflow.engine.grid_side import GridSide


class Letter(Struct, frozen=True, kw_only=True):
    """One post: `id` is its idempotency key, the same at each attempt and over restarts."""

    number: int
    id: str
    event: str
    at_s: float
    data: msgspec.Raw


class Outbox:
    """Kept among the notes of the wire, so that it is in the same journal as what it tells of."""

    def __init__(self, grid: GridSide, name: str, most: int) -> None:
        self.dropped = 0
        self._grid = grid
        self._prefix = f"webhook/{name}/letter/"
        self._most = most
        known = (body for key, body in grid.notes(Wire.HTTP).items() if key.startswith(self._prefix))
        letters = sorted((msgspec.json.decode(body, type=Letter) for body in known), key=lambda letter: letter.number)
        self._waiting = deque(letters)
        self._next = letters[-1].number + 1 if letters else 1

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, event: str, words: Struct) -> None:
        """Keep a letter; the oldest goes when there are too many."""
        letter = Letter(
            number=self._next, id=str(uuid4()), event=event, at_s=self._grid.now_s(), data=msgspec.Raw(msgspec.json.encode(words))
        )
        self._next += 1
        self._waiting.append(letter)
        self._grid.note(Wire.HTTP, self._key(letter), msgspec.json.encode(letter).decode())
        if len(self._waiting) > self._most:
            self.dropped += 1
            self.taken()

    def first(self) -> Letter | None:
        """The oldest letter."""
        return self._waiting[0] if self._waiting else None

    def taken(self) -> None:
        """The oldest letter needs not be kept any longer."""
        self._grid.note(Wire.HTTP, self._key(self._waiting.popleft()), None)

    def _key(self, letter: Letter) -> str:
        return f"{self._prefix}{letter.number}"
