"""Runs done: one process, many runs, each killed and resumed without a trace in its numbers."""
