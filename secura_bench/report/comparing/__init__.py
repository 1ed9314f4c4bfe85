"""Two methods side by side: what each learned and kept, how sure a difference is, and what may be said of it."""
