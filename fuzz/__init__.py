"""Hostile files at every door of synthprint: `python -m fuzz --seconds 60`. See README.md in this folder."""
