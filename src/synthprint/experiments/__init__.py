"""The grid of recipes behind a results table: running it, and showing it beside the published figures."""
