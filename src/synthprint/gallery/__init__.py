"""Enrolled sources, and what their scores mean."""
