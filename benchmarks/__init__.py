"""How fast synthprint is, as ratios taken in one run: `python -m benchmarks [TOPIC …]`. See docs/performance.md."""
