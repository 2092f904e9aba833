"""Labelled embeddings in, what an extractor has learnt out: the probe with its confusions, and the map."""
