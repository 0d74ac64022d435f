"""How fast one station may speak: two token buckets, messages and bytes, that cost a subtraction each. No socket and no clock in here."""

from counterflow.adapters.ocpp.transport import GatewaySettings


class Pace:
    """Spend with `messages_left` and `bytes_left`; only when one is below zero ask `wait_s`, which fills them by the time gone by."""

    __slots__ = ("_at_s", "bytes_left", "messages_left")

    def __init__(self, settings: GatewaySettings, now_s: float) -> None:
        self.messages_left: float = settings.message_burst
        self.bytes_left: float = settings.receive_burst_bytes
        self._at_s = now_s

    def wait_s(self, settings: GatewaySettings, now_s: float) -> float:
        """How long the station must wait now; 0 when it need not."""
        gone_s = max(0.0, now_s - self._at_s)
        self._at_s = now_s
        self.messages_left = min(settings.message_burst, self.messages_left + settings.messages_per_s * gone_s)
        self.bytes_left = min(settings.receive_burst_bytes, self.bytes_left + settings.receive_bytes_per_s * gone_s)
        return max(0.0, -self.messages_left / settings.messages_per_s, -self.bytes_left / settings.receive_bytes_per_s)
