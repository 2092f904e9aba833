"""Hostile files at every door of synthprint: `python -m fuzz --seconds 60`. See README.md in this folder."""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before numpy comes in: processes are forked, and threads do not survive that
