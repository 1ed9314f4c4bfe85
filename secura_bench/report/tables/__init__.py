"""The tables of any experiment: a module a table."""
