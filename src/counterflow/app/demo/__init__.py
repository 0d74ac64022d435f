"""`make demo`: the main job, live, with a verdict at the end."""
