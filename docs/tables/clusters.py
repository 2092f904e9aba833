"""The table of a model's clustering, in Markdown, from what `cluster_tuning.tune_clusters` gave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from synthprint.measuring.markdown import table
from tables.pages import extractor_sentence


def cluster_tables(report: Mapping[str, Any], shipped: Mapping[str, Any]) -> Iterator[str]:
    """The shipped model's threshold, and a table of a report: "extractor", "threshold", "draws" by split and corpus.

    `shipped` is what the model's own clusters.json says.
    """
    yield (
        f"The shipped model's threshold is {shipped['threshold']:.2f}. With it {100 * shipped['wrong']:.1f} % of the "
        f"pairs that are put together are of two sources, and {100 * shipped['missed']:.1f} % of the pairs of one "
        f"source are missed, on {shipped['data']}. These are development clips: the threshold was chosen on them."
    )
    yield (
        f"The table: {extractor_sentence(report['extractor'], shipped['extractor'])} Its threshold was "
        f"{report['threshold']:.2f}. Means over the draws; shares in per cent."
    )
    header = ["split", "clips of", "purity", "NMI", "ARI", "groups / sources", "wrong", "missed"]
    yield table(header, _rows(report["draws"]))


def _rows(draws: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Iterator[list[str]]:
    for split, by_corpus in draws.items():
        for corpus, figures in by_corpus.items():
            cells = [f"{figures[name]:.2f}" for name in ("purity", "nmi", "ari")]
            sizes = f"{figures['groups']:.1f} / {figures['sources']:.1f}"
            shares = [f"{100 * figures[name]:.1f}" for name in ("wrong", "missed")]
            yield [split, corpus, *cells, sizes, *shares]
