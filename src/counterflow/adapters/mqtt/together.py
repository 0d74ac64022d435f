"""Parts of one line that live and end together, whatever their ends fail of.

`asyncio.TaskGroup` cancels once and waits. A part that loses that one cancellation (`asyncio.wait_for` of Python 3.11 may, and the client
library is built on it) would be waited for for ever; here it is cancelled until it has ended.
"""

import asyncio
from collections.abc import Collection, Coroutine

Work = Coroutine[object, object, None]
Task = asyncio.Task[None]


async def together(works: Collection[Work], *, patience_s: float) -> None:
    """Run until the first ends or fails, then end the others.

    A part that has not ended `patience_s` after it was cancelled is cancelled again. Raises what the first failed of, and CancelledError
    when it was we who were cancelled: nothing that fails meanwhile hides that.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _ended(tasks, patience_s)
    for task in tasks:
        if task in done:
            task.result()


async def _ended(tasks: Collection[Task], patience_s: float) -> None:
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=patience_s)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # taken note of, so that nobody is told of it at the end of the process
