"""The demo's frame around the dispatch: it says where the console is, and that stays open until somebody ends it. The rest of it is
rehearsed on the virtual clock.
"""

import asyncio
import os
import re
import signal
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from counterflow.app.demo import play
from counterflow.app.demo.play import DemoSettings, run_demo


class Outcome:
    """A promise that was kept, as the dispatch of a whole demo would have it."""

    kept = True


def test_the_demo_says_where_the_console_is_and_keeps_it_open_until_it_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = StringIO()
    seen: dict[str, Any] = {}

    async def look_and_interrupt() -> None:
        while "Ctrl-C ends them" not in screen.getvalue():
            await asyncio.sleep(0.02)
        try:
            said = re.search(r"The console is at (http://\S+) \(token: (\S+)\)", screen.getvalue())
            assert said is not None, screen.getvalue()
            seen["url"], token = said[1], Path(said[2]).read_text().strip()
            async with httpx.AsyncClient(base_url=said[1], headers={"Origin": said[1]}, timeout=30.0) as browser:
                seen["signed_in"] = (await browser.post("/sign-in", data={"token": token})).status_code
                seen["page"] = (await browser.get("/")).text
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    async def no_dispatch(*_: Any) -> Outcome:
        seen["looking"] = asyncio.create_task(look_and_interrupt())
        return Outcome()

    async def no_fleet(*_: Any) -> None:
        pass

    monkeypatch.setattr(play._Demo, "_gather_fleet", no_fleet)
    monkeypatch.setattr(play._Demo, "_play", no_dispatch)
    monkeypatch.setattr(play._Demo, "_print_verdict", lambda *_: None)
    assert run_demo(DemoSettings(out=tmp_path, keep=True), Console(file=screen, width=80)) == 0
    assert seen["signed_in"] == 303
    assert "New dispatch" in seen["page"]
    assert screen.getvalue().count(seen["url"]) == 2, "before the dispatch, to watch it, and after the verdict"
    with pytest.raises(httpx.ConnectError):
        httpx.get(seen["url"])
