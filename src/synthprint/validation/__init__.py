"""Scores and labels in, figures with intervals over sources out: what `synthprint evaluate --intervals` shows."""
