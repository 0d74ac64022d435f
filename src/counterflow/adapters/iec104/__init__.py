"""IEC 60870-5-104 outstation: the pool as a controlled station that a grid operator's control system commands and watches.

`settings`, `points`, `commands` and `outstation` know no socket; `link` is the only file that imports the package c104 (an extra).
"""
