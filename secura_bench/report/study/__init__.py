"""Records sorted into studies, arms and cells, with what can be said of each."""
