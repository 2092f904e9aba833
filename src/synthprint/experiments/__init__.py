"""Recipes in, a results table out: the grid that is run, and its figures beside the published ones."""
