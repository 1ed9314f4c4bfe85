"""Does runs. A run that is killed and resumed ends with the same numbers."""
