"""A manifest in, findings out: what is wrong with it, and how easily its sources are guessed without listening."""
