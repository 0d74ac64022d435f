"""How fast one station may speak: two token buckets, messages and bytes, that cost a subtraction each. No socket and no clock in here.

The buckets are handed out in slices: a station that may send ten thousand messages at once is still read only a slice at a time, and the
others have their turn in between. A station that takes its time for a slice is none of those.
"""

from counterflow.adapters.ocpp.transport import GatewaySettings

SLICE_MESSAGES = 50.0
SLICE_BYTES = 256.0 * 1024.0
HURRY_S = 0.05
"""Whoever spends a slice sooner than this sends in bulk; all others never wait for a turn."""


class Pace:
    """Spend with `messages_left` and `bytes_left`; only when one is below zero ask `wait_s`, which fills them by the time gone by."""

    __slots__ = ("_at_s", "_bytes", "_given_bytes", "_given_messages", "_messages", "bytes_left", "messages_left")

    def __init__(self, settings: GatewaySettings, now_s: float) -> None:
        self._messages: float = settings.message_burst
        self._bytes: float = settings.receive_burst_bytes
        self._at_s = now_s
        self._give()

    @property
    def spent(self) -> tuple[float, float]:
        """Messages and bytes since the slice was given."""
        return self._given_messages - self.messages_left, self._given_bytes - self.bytes_left

    def hurried(self, now_s: float) -> bool:
        """The slice was spent in no time."""
        return now_s - self._at_s < HURRY_S

    def wait_s(self, settings: GatewaySettings, now_s: float) -> float:
        """How long the station must wait now; 0 when it need not: then it has its next slice, which is for the next turn."""
        gone_s = max(0.0, now_s - self._at_s)
        self._at_s = now_s
        spent_messages, spent_bytes = self.spent
        self._messages = min(settings.message_burst, self._messages - spent_messages + settings.messages_per_s * gone_s)
        self._bytes = min(settings.receive_burst_bytes, self._bytes - spent_bytes + settings.receive_bytes_per_s * gone_s)
        self._give()
        return max(0.0, -self._messages / settings.messages_per_s, -self._bytes / settings.receive_bytes_per_s)

    def _give(self) -> None:
        self._given_messages = self.messages_left = min(SLICE_MESSAGES, self._messages)
        self._given_bytes = self.bytes_left = min(SLICE_BYTES, self._bytes)
