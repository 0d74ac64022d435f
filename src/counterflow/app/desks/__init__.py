"""What people and grid operators may ask: `Operations` and `GridSide`, desk by desk, and what they are shown."""
