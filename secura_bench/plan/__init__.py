"""What a spec stands for: its runs, their fingerprints, their inputs, their phases."""
