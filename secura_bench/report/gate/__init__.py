"""A gate: what is required of methods or checkpoints, and whether what was measured shows that it holds."""
