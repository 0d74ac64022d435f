"""The loop: orders become a target, an image becomes a decision, cars that leave are made good."""
