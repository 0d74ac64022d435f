"""Reports: gathered from the log, made, made again when late values come, and verified."""
