"""Classes of vectors: their means, and how their members scatter around them. numpy alone."""

from __future__ import annotations

import numpy as np

from synthprint.vectors.directions import CACHED_ROWS

LEAST_VARIANCE = 1e-8  # of a direction; that of members which are all equal would be zero


def class_means(vectors: np.ndarray, owners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean [S, D] float64 of each class, and how many members it has [S].

    Args:
        vectors: [N, D].
        owners: [N], the class of each (0 … S-1, each at least once).
    """
    counts = np.bincount(owners)
    by_class = vectors[np.argsort(owners, kind="stable")]
    sums = np.add.reduceat(by_class, np.cumsum(counts) - counts, axis=0, dtype=np.float64)
    return sums / counts[:, None], counts


def within_covariance(vectors: np.ndarray, owners: np.ndarray, shrinkage: float = 1.0) -> np.ndarray:
    """The covariance [D, D] of members around the mean of their class, pooled over the classes.

    It is shrunk as if, beside the N - S residuals of N members of S classes, `shrinkage` times D more had been seen
    that are alike in all directions. Without any residual it is 1 / D in each.

    Args:
        vectors, owners: as for `class_means`.
        shrinkage: above 0.
    """
    members, dim = vectors.shape
    means, counts = class_means(vectors, owners)
    scatter = -np.einsum("s,sd,se->de", counts, means, means)
    for start in range(0, members, CACHED_ROWS):
        block = vectors[start : start + CACHED_ROWS].astype(np.float64)
        scatter += block.T @ block
    residuals, alike = members - len(means), shrinkage * dim
    variance = max(np.trace(scatter) / (dim * residuals), LEAST_VARIANCE) if residuals else 1 / dim
    covariance: np.ndarray = (scatter + alike * variance * np.eye(dim)) / (residuals + alike)
    return covariance


def subclasses(owners: np.ndarray, parts: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Classes cut into parts, such as sources by publisher: the subclass of each member [N], the class of each [C].

    Args:
        owners: [N], the class of each member, from 0.
        parts: [N], the part of each, from -1, which is a part as any other; None: all are one.
    """
    parts = np.full(len(owners), -1) if parts is None else parts
    keys, of = np.unique(owners.astype(np.int64) * (parts.max() + 2) + parts + 1, return_inverse=True)
    return of, keys // (parts.max() + 2)


def whitening(
    directions: np.ndarray, owners: np.ndarray, parts: np.ndarray | None = None, shrinkage: float = 1.0
) -> np.ndarray:
    """P [D, D] with P W P' = 1, where W says how members of one class differ.

    W is the covariance of members around the mean of their part of a class, and, where a class has several parts, that
    of these means around the mean of their class. Each is shrunk: see `within_covariance`.

    Args:
        directions: [N, D].
        owners: [N], the class of each, from 0, each at least once.
        parts: as for `subclasses`.
        shrinkage: above 0.
    """
    of, class_of_part = subclasses(owners, parts)
    within = within_covariance(directions, of, shrinkage)
    if len(class_of_part) > owners.max() + 1:
        within += within_covariance(class_means(directions, of)[0], class_of_part, shrinkage)
    return np.linalg.inv(np.linalg.cholesky(within))


def discriminants(vectors: np.ndarray, owners: np.ndarray, dim: int) -> np.ndarray:
    """The `dim` orthonormal directions [D, dim] in which class means differ most; every class weighs the same.

    After `whitening` they are those of linear discriminant analysis (Fukunaga, *Introduction to Statistical Pattern
    Recognition*, 1990, section 10.2).

    Args:
        vectors, owners: as for `class_means`.
        dim: 1 to D.
    """
    means, _ = class_means(vectors, owners)
    _, directions = np.linalg.eigh(np.cov(means, rowvar=False, bias=True))
    best: np.ndarray = directions[:, ::-1][:, :dim]
    return best * np.where(best.sum(axis=0) < 0, -1.0, 1.0)  # a direction has no sign of its own: fix it
