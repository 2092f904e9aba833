"""The open corpus: what installed synthesizers and vocoders say, with a manifest whose splits hold together.

texts ─► plan ─► building ─► manifest.csv
"""
