"""From how many publishers the sources of a gallery are enrolled."""

from __future__ import annotations

import numpy as np

from synthprint.gallery.gallery import Gallery


def n_publishers(gallery: Gallery) -> np.ndarray:
    """[S] of each of `Gallery.names`; 0 where that is not on record."""
    return np.array([len(published) for published in gallery.publisher_counts], np.int64)
