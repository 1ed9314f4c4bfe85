"""A run's folder: its record, its lock, its status."""
