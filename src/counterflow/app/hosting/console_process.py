"""The console's process beside the server: started with it, started again when it falls, and told nothing on its command line."""

import asyncio
import sys
from collections.abc import Callable
from subprocess import PIPE

import msgspec
import structlog

from counterflow.console.settings import ConsoleOrders

READY = "ready "
START_WITHIN_S = 30.0
AGAIN_FIRST_S, AGAIN_MOST_S = 1.0, 60.0

log = structlog.get_logger("counterflow")


class ConsoleProcess:
    """`keep()` runs until cancelled, and ends the process then. `url` is known once it listens."""

    def __init__(self, orders: ConsoleOrders) -> None:
        self._orders = orders
        self.url: str | None = None
        self.trouble: str | None = None
        """Why there is no console, in a sentence."""

    async def keep(self, listens: Callable[[str], None] = lambda _url: None) -> None:
        """Start it, and start it again, ever more slowly, when it ends by itself."""
        again_s = AGAIN_FIRST_S
        while True:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "counterflow.console",
                stdin=PIPE,
                stdout=PIPE,
                start_new_session=True,  # Ctrl-C in a terminal reaches the server only, which then ends it
            )
            assert process.stdin is not None, "it is a pipe"
            assert process.stdout is not None, "it is a pipe"
            try:
                process.stdin.write(msgspec.json.encode(self._orders) + b"\n")
                async with asyncio.timeout(START_WITHIN_S):
                    line = await process.stdout.readline()
                if line.startswith(READY.encode()):
                    self.url = f"http://{self._orders.settings.host}:{int(line.removeprefix(READY.encode()))}"
                    self.trouble, again_s = None, AGAIN_FIRST_S
                    listens(self.url)
                    await process.wait()
                settings = self._orders.settings
                self.url, self.trouble = None, f"The console on {settings.host}:{settings.port} is not running; it is started again."
            except TimeoutError:
                self.trouble = f"The console has not started within {START_WITHIN_S:g} s."
            except OSError as error:
                self.trouble = f"The console does not start: {error}."
            finally:
                if process.returncode is None:
                    process.stdin.close()
                    try:
                        async with asyncio.timeout(5.0):
                            await process.wait()
                    except TimeoutError:
                        process.kill()
                        await process.wait()
            log.warning("console", text=self.trouble, again_in_s=again_s)
            await asyncio.sleep(again_s)
            again_s = min(AGAIN_MOST_S, 2.0 * again_s)
