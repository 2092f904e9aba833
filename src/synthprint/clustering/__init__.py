"""Exhibits grouped by source, without an enrolled gallery."""
