"""What was delivered, from registers first, with its uncertainty."""
