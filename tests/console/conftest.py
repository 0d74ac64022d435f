"""One headless Chromium for all tests of a file: while it is open, Playwright holds the event loop that another test would want."""

from collections.abc import Iterator
from shutil import which

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
)  # fmt: skip

PATIENCE_MS = 20_000
"""For what comes at once where nothing else runs, and late on a busy machine."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's, driven by Playwright."""
    program = which("chromium")
    assert program is not None, "the tests need Debian's chromium: make tools"
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield running
        running.close()
