"""What is measured of an extractor, and how."""
