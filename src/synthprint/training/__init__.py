"""A recipe and a manifest in, a checkpoint out, with torch."""
