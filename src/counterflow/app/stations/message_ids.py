"""Ids of the requests that we send."""

from collections.abc import Callable
from itertools import count
from uuid import uuid4


def new_message_ids() -> Callable[[], str]:
    """Ids that no other run uses, in the shape of a UUID (OCPP-J 4.1.4): a random start for the process, then a counter.

    A random UUID each would cost a system call, and ten thousand of them a good part of a fan-out.
    """
    start, numbers = str(uuid4())[:24], count()
    return lambda: f"{start}{next(numbers):012x}"
