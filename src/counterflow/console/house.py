"""What the pages share."""

import time

from counterflow.console.api import Api
from counterflow.console.feed import Feed
from counterflow.console.settings import ConsoleOrders
from counterflow.console.signing import Visitors


class House:
    """One in the process."""

    def __init__(self, orders: ConsoleOrders) -> None:
        settings = orders.settings
        self.now_s = time.time
        self.api = Api(orders.api_url, orders.api_certificate)
        self.feed = Feed(self.api, orders.feed_token, self.now_s)
        self.visitors = Visitors(60.0 * settings.idle_min, 3600.0 * settings.session_h, self.now_s)
