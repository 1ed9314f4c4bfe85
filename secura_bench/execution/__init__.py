"""Programs that a model wrote, run with their tests: in a sandbox, or not at all."""
