"""The console's process beside the server's."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from counterflow.app.hosting.console_process import ConsoleProcess
from counterflow.console.settings import ConsoleOrders, ConsoleSettings


def test_ctrl_c_in_a_terminal_reaches_the_server_only_which_ends_the_console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal sends it to all processes of the group in front; the console would tell of it with a traceback."""
    plays_the_console = tmp_path / "python"
    plays_the_console.write_text("#!/bin/sh\nread orders\necho ready $$\nread the_end\n")
    plays_the_console.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(plays_the_console))

    async def story() -> int:
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        console = ConsoleProcess(ConsoleOrders(settings=ConsoleSettings(), api_url="http://127.0.0.1:1", feed_token="t"))
        keeping = asyncio.create_task(console.keep(told.set_result))
        async with asyncio.timeout(60.0):
            process_id = int((await told).rpartition(":")[2])
            assert os.getpgid(process_id) != os.getpgid(0)
            keeping.cancel()
            await asyncio.wait({keeping})
        return process_id

    with pytest.raises(ProcessLookupError):
        os.getpgid(asyncio.run(story()))
