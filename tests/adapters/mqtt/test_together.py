"""Parts that end together, also those that lose a cancellation."""

import asyncio

import pytest

from counterflow.adapters.mqtt.together import together


class Part:
    """Goes on for ever, and loses the first `deaf` cancellations."""

    def __init__(self, deaf: int = 0) -> None:
        self.deaf = deaf
        self.ended = False

    async def run(self) -> None:
        while True:
            try:
                await asyncio.sleep(60.0)
            except asyncio.CancelledError:
                if self.deaf == 0:
                    self.ended = True
                    raise
                self.deaf -= 1


async def failing(error: Exception, after_s: float = 0.0) -> None:
    await asyncio.sleep(after_s)
    raise error


def test_what_the_first_failed_of_is_raised_when_the_others_have_ended() -> None:
    other = Part(deaf=2)
    with pytest.raises(OSError, match="the line is gone"):
        asyncio.run(together([other.run(), failing(OSError("the line is gone"))], patience_s=0.01))
    assert other.ended


def test_the_first_that_ends_ends_the_others() -> None:
    other = Part()
    asyncio.run(together([asyncio.sleep(0.0), other.run()], patience_s=0.01))
    assert other.ended


def test_who_is_cancelled_is_cancelled_whatever_fails_meanwhile() -> None:
    async def grudging() -> None:
        try:
            await asyncio.sleep(60.0)
        finally:
            raise OSError("no goodbye")

    async def life() -> asyncio.Task[None]:
        parts = asyncio.create_task(together([grudging(), Part(deaf=1).run()], patience_s=0.01))
        await asyncio.sleep(0.0)
        await asyncio.sleep(0.0)
        parts.cancel()
        await asyncio.wait([parts], timeout=60.0)
        return parts

    assert asyncio.run(life()).cancelled()
