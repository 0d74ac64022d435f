"""The grid operator's side, pure: what a program may order, and what is drawn up from what it orders."""
