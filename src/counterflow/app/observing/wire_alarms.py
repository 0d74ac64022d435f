"""What the wires of grid operators have to complain of; such an alarm leaves the server ready, since people and other wires can order."""

from counterflow.domain.grid import Wire


class WireAlarms:
    """By wire and subject; the newest sentence counts."""

    def __init__(self) -> None:
        self._sentences: dict[tuple[Wire, str], str] = {}

    def set(self, wire: Wire, subject: str, sentence: str | None) -> bool:
        """None = over. Returns whether anything has changed."""
        key = (wire, subject)
        if self._sentences.get(key) == sentence:
            return False
        if sentence is None:
            del self._sentences[key]
        else:
            self._sentences[key] = sentence
        return True

    def all(self) -> tuple[str, ...]:
        """In words."""
        return tuple(self._sentences.values())
