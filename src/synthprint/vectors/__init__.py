"""Vectors in, directions and cosines out; and the closest of many."""
