"""The decisions: pure functions and single-writer state on numpy and the domain. Time comes in as `now_s`."""
