"""How much one network address may ask: handshakes a second, unfinished handshakes, connections; messages and bytes of all its stations
together. No socket in here.

Loopback is exempt by default: a proxy in front of us, or a simulated fleet, comes with all its stations from one address.
"""

from typing import Annotated

from msgspec import Meta, Struct


class AddressSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one network address may have; stations behind one router share it."""

    connections: Annotated[int, Meta(description="Most connections of one address.", ge=1, le=1_000_000)] = 1000
    unfinished: Annotated[int, Meta(description="Most connections of one address that have not finished their handshake.", ge=1)] = 250
    handshakes_per_s: Annotated[
        float, Meta(description="New connections of one address per second, on average.", extra={"unit": "1/s"}, gt=0)
    ] = 50.0
    handshake_burst: Annotated[float, Meta(description="New connections of one address at once after a quiet time.", ge=1)] = 500.0
    messages_per_s: Annotated[
        float,
        Meta(
            description="Frames of all stations of one address per second, on average; beyond that those that send most wait.",
            extra={"unit": "1/s"},
            ge=1.0,
        ),
    ] = 4000.0
    message_burst: Annotated[float, Meta(description="Frames of one address at once after a quiet time.", ge=100.0)] = 100_000.0
    receive_bytes_per_s: Annotated[
        float, Meta(description="Bytes of all stations of one address per second, on average.", extra={"unit": "B/s"}, ge=1024.0)
    ] = 4.0 * 1024 * 1024
    receive_burst_bytes: Annotated[
        float, Meta(description="Bytes of one address at once after a quiet time.", extra={"unit": "B"}, ge=4096.0)
    ] = 64.0 * 1024 * 1024
    exempt: Annotated[
        tuple[str, ...], Meta(description="Addresses without these limits: a trusted proxy, a local controller with a whole depot.")
    ] = ("127.0.0.1", "::1")


class Bucket:
    """A token bucket. `rate_per_s` tokens come in, at most `burst` are kept."""

    __slots__ = ("_at_s", "_burst", "_rate_per_s", "_tokens")

    def __init__(self, rate_per_s: float, burst: float, now_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = burst
        self._at_s = now_s

    def take(self, now_s: float) -> bool:
        """Take one token if there is one."""
        self._refill(now_s)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def spend(self, tokens: float, now_s: float) -> float:
        """Take so many, there or not; how long until what is owed is paid back, s."""
        self._refill(now_s)
        self._tokens -= tokens
        return max(0.0, -self._tokens / self._rate_per_s)

    def wait_s(self, now_s: float) -> float:
        """How long until there is one."""
        self._refill(now_s)
        return max(0.0, (1.0 - self._tokens) / self._rate_per_s)

    def full(self, now_s: float) -> bool:
        """Nothing has been taken lately."""
        self._refill(now_s)
        return self._tokens >= self._burst

    def _refill(self, now_s: float) -> None:
        self._tokens = min(self._burst, self._tokens + self._rate_per_s * max(0.0, now_s - self._at_s))
        self._at_s = now_s


class _Account:
    __slots__ = ("bucket", "connections", "messages", "received", "unfinished")

    def __init__(self, settings: AddressSettings, now_s: float) -> None:
        self.bucket = Bucket(settings.handshakes_per_s, settings.handshake_burst, now_s)
        self.messages = Bucket(settings.messages_per_s, settings.message_burst, now_s)
        self.received = Bucket(settings.receive_bytes_per_s, settings.receive_burst_bytes, now_s)
        self.connections = 0
        self.unfinished = 0

    def idle(self, now_s: float) -> bool:
        return self.connections == 0 and all(one.full(now_s) for one in (self.bucket, self.messages, self.received))


class AddressBook:
    """Who holds how much. Remembers an address only while it is connected or has used up tokens."""

    def __init__(self, settings: AddressSettings) -> None:
        self._settings = settings
        self._exempt = frozenset(settings.exempt)
        self._accounts: dict[str, _Account] = {}

    def __len__(self) -> int:
        return len(self._accounts)

    def enter(self, address: str, now_s: float) -> str | None:
        """A connection has come: None lets it in and counts it, else why not."""
        if address in self._exempt:
            return None
        settings = self._settings
        account = self._accounts.get(address)
        if account is None:
            account = self._accounts[address] = _Account(settings, now_s)
        if not account.bucket.take(now_s):
            return "too many handshakes from one address"
        if account.connections >= settings.connections:
            return "too many connections from one address"
        if account.unfinished >= settings.unfinished:
            return "too many unfinished handshakes from one address"
        account.connections += 1
        account.unfinished += 1
        return None

    def spend(self, address: str, messages: float, received_bytes: float, now_s: float) -> float:
        """A station of this address has sent so much; how long it must wait, s."""
        account = self._accounts.get(address)
        if account is None or address in self._exempt:
            return 0.0
        return max(account.messages.spend(messages, now_s), account.received.spend(received_bytes, now_s))

    def finished(self, address: str) -> None:
        """Its handshake is through."""
        account = self._accounts.get(address)
        if account is not None and address not in self._exempt:
            account.unfinished -= 1

    def leave(self, address: str, *, finished: bool) -> None:
        """A connection that was let in is gone."""
        account = self._accounts.get(address)
        if account is not None and address not in self._exempt:
            account.connections -= 1
            account.unfinished -= not finished

    def sweep(self, now_s: float) -> None:
        """Forget the addresses that hold nothing and have used nothing lately; memory follows what is going on."""
        idle = [address for address, account in self._accounts.items() if account.idle(now_s)]
        for address in idle:
            del self._accounts[address]
