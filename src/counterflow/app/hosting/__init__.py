"""The process itself: what it asks of the system, its restart, and the processes beside it."""
