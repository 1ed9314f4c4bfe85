"""From task files and people's files to rows."""
