"""An extractor with what was measured of it."""
