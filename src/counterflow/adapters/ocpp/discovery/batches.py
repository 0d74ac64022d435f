"""How much fits into one message to a station (B05.FR.11, B06.FR.05: ItemsPerMessage and BytesPerMessage)."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

FRAME_BYTES: Final = 110
"""More than `[2,"<36 characters>","GetVariables",{"getVariableData":[]}]` takes."""
ITEMS_UNTOLD: Final = 10
"""Items in a message to a station that names no limit."""
ITEMS_MOST: Final = 50

Item = TypeVar("Item")


class MessageLimit(Struct, frozen=True, gc=False):
    """Items and bytes that a station takes in one message of an action; `max_bytes` None = not said."""

    items: int = ITEMS_UNTOLD
    max_bytes: int | None = None

    def halved(self, sent: int) -> "MessageLimit":
        """After a refusal of `sent` items."""
        return MessageLimit(max(1, sent // 2), self.max_bytes)


def take(left: Sequence[Item], spell: Callable[[Item], Struct], limit: MessageLimit) -> list[Struct]:
    """The first of `left` that fit, spelled out; always at least one, since a single item cannot be made smaller."""
    spelled: list[Struct] = []
    size = FRAME_BYTES
    for item in left[: limit.items]:
        struct = spell(item)
        if limit.max_bytes is not None:
            size += len(msgspec.json.encode(struct)) + 1
            if spelled and size > limit.max_bytes:
                break
        spelled.append(struct)
    return spelled
