"""The one place where the real time is read."""

import time


class SystemClock:
    """`Clock` of a live process."""

    def now_s(self) -> float:
        """Epoch seconds, UTC."""
        return time.time()
