"""Experiments as typed, frozen values: what to run, on which model, how it is trained and scored."""
