"""Files of rows as people have them: a reader a format, and the layouts that are known by their columns' names."""
