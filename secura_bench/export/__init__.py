"""A finished run as an adapter or a whole model for other libraries."""
