"""Enrolled sources, and the tracer that answers from them."""
