"""Models and adapters that others trained: found, checked, compared with the base, lent to be scored."""
