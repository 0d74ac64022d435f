"""`counterflow serve` in a process of its own, on free ports, as the demo and the real-time bench run it beside a simulated fleet."""

import contextlib
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from counterflow.app.security.token import find_token

STOP_S = 10.0
START_S = 30.0
"""A server that does not serve after this long is given up."""


class OwnServerError(RuntimeError):
    """The server has ended; the text is a sentence."""


class OwnServer:
    """Everybody may connect and every driver has agreed. Data and log go to `folder`, which must exist."""

    def __init__(self, folder: Path, config: Path | None = None, *, console: bool = False) -> None:
        """`config` = a settings file; `console` = with the console in the browser."""
        self.data_dir = folder / "data"
        self.log = folder / "server.log"
        self.data_dir.mkdir()
        ocpp_port, api_port = _free_port(), _free_port()
        self.ocpp_url = f"ws://127.0.0.1:{ocpp_port}/ocpp"
        self.api_url = f"http://127.0.0.1:{api_port}"
        command = [sys.executable, "-c", "from counterflow.app.cli import main; main()", "serve", "--data-dir", str(self.data_dir)]
        command += ["--ocpp-port", str(ocpp_port), "--api-port", str(api_port), "--accept-unknown-stations", "--default-consent"]
        command += ["--config", str(config)] if config else []
        command += ["--console", "--console-port", "0"] if console else ["--no-console"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COUNTERFLOW_")}
        with self.log.open("wb") as log:
            # Ctrl-C reaches whoever started it only, who then ends it.
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def token(self) -> str | None:
        """The API's token once it serves, None before. Raises `OwnServerError` when it has ended."""
        if self._process.poll() is not None:
            raise OwnServerError(f"the server ended at once; see {self.log}.")
        return find_token(self.data_dir) if b"serving" in self.log.read_bytes() else None

    def console_url(self) -> str | None:
        """Where the console is, once it listens."""
        found = re.search(rb"Console +(http\S+)", self.log.read_bytes())
        return found[1].decode() if found else None

    def stop(self) -> None:
        """Make it end, by asking, then by force."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        self._process.kill()
        self._process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
