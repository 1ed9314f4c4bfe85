"""Other people's tables as data: what they printed, under which settings, and what of it cannot be right."""
