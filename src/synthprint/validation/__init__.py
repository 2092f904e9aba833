"""How well a system of scores does, with intervals over sources: what `synthprint validate` shows."""
