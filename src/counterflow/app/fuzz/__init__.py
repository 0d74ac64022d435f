"""Coverage-guided fuzzing of what reads the words of others: `make fuzz`, and the same targets over a fixed corpus in the tests."""
