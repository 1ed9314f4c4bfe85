"""What every room stands on: errors, files, names, YAML, words."""
