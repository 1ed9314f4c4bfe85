"""The ways to score a model: a module a protocol."""
