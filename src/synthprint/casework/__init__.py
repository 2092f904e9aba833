"""Exhibits examined together: groups, and a case on one page."""
