"""The table of a model's clustering, in Markdown, from what `cluster_tuning.tune_clusters` gave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from synthprint.measuring.markdown import table


def cluster_tables(report: Mapping[str, Any]) -> Iterator[str]:
    """A paragraph and a table; the report has "extractor", "threshold" and "draws": split -> corpus -> figures."""
    extractor, threshold = report["extractor"][:12], report["threshold"]
    yield f"Extractor `{extractor}`, threshold {threshold:.2f}. Means over the draws; shares in per cent."
    header = ["split", "clips of", "purity", "NMI", "ARI", "groups / sources", "wrong", "missed"]
    yield table(header, _rows(report["draws"]))


def _rows(draws: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Iterator[list[str]]:
    for split, by_corpus in draws.items():
        for corpus, figures in by_corpus.items():
            cells = [f"{figures[name]:.2f}" for name in ("purity", "nmi", "ari")]
            sizes = f"{figures['groups']:.1f} / {figures['sources']:.1f}"
            shares = [f"{100 * figures[name]:.1f}" for name in ("wrong", "missed")]
            yield [split, corpus, *cells, sizes, *shares]
