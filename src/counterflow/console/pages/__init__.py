"""One file a page: `show(house)` adds its routes."""
