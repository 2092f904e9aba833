"""The tables of the pages on the shipped model, in Markdown, from what was measured."""
