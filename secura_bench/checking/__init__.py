"""Checking a method of someone else's: `secura-bench check-method`."""
