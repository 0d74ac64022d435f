"""The console's connections on real sockets: who does not finish a request is cut off, and whoever has a page open is not."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from subprocess import PIPE

import msgspec
import pytest

from counterflow.console.main import READY
from counterflow.console.settings import ConsoleOrders, ConsoleSettings

WITHIN_S = 0.3
STARTED = f"from counterflow.console import main; main.REQUEST_WITHIN_S = {WITHIN_S}; main.main()"
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a console whose server is away."""
    orders = ConsoleOrders(settings=ConsoleSettings(port=0), api_url="http://127.0.0.1:9", feed_token="token")
    with subprocess.Popen([sys.executable, "-c", STARTED], stdin=PIPE, stdout=PIPE) as console:
        assert console.stdin is not None
        assert console.stdout is not None
        console.stdin.write(msgspec.json.encode(orders) + b"\n")
        console.stdin.flush()
        yield int(console.stdout.readline().removeprefix(READY.encode()))
        console.stdin.close()
        console.wait(PATIENCE_S)


SIGN_IN = (
    b"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nOrigin: http://127.0.0.1:%d\r\nContent-Length: 9\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\ntok"
)


@pytest.mark.parametrize("words", [b"", b"GET /sign-in HTT", SIGN_IN], ids=["nothing", "half a head", "half a sign-in"])
def test_who_does_not_finish_a_request_to_the_console_is_cut_off(port: int, words: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client:
        client.sendall(words % (port, port) if words is SIGN_IN else words)
        assert client.recv(4096) == b""
