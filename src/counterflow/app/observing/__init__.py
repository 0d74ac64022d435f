"""What the process tells of itself: logs, metrics, alarms, the event stream."""
