"""The corpora that a manifest was put together from, as its column `corpus` names them.

One of them is the *main* corpus: what is tuned is tuned on it, because it is closest to the clips that a model is for.
The others add variety. A manifest without that column is one corpus without a name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from synthprint.errors import ManifestError
from synthprint.types import Manifest, Utterance

COLUMN = "corpus"
Selection = Callable[[Utterance], bool]


def corpus_name(u: Utterance) -> str:
    """The corpus that an utterance comes from; "" where its manifest names none."""
    return u.extra.get(COLUMN, "")


def labelled(corpus: str, text: str) -> str:
    """`text` as said of a corpus: "neural, all"; of one without a name the text alone."""
    return f"{corpus}, {text}" if corpus else text


@dataclass(frozen=True)
class Corpora:
    """The corpora of a manifest.

    Attributes:
        names: in the order in which they occur.
        main: the one that tunings and choices are made on.
    """

    names: tuple[str, ...]
    main: str

    def is_main(self, u: Utterance) -> bool:
        """Whether an utterance is of the main corpus."""
        return corpus_name(u) == self.main

    def parts(self) -> dict[str, Selection]:
        """Each corpus by its name, and "both", or "all" of more than two; one corpus is "all"."""
        if len(self.names) == 1:
            return {"all": lambda _: True}
        return {name: _of_corpus(name) for name in self.names} | {
            "both" if len(self.names) == 2 else "all": lambda _: True
        }

    def subsets(self) -> dict[str, Selection]:
        """What figures are given for: each corpus, with sources that training met, never met, and all; everything."""
        subsets: dict[str, Selection] = {}
        for name in self.names:
            subsets[labelled(name, "sources never met")] = _of_corpus(name, False)
            subsets[labelled(name, "sources met in training")] = _of_corpus(name, True)
            if len(self.names) > 1:
                subsets[labelled(name, "all")] = _of_corpus(name)
        return subsets | {"everything": lambda _: True}


def list_corpora(manifest: Manifest, main: str | None = None) -> Corpora:
    """The corpora of a manifest.

    Args:
        main: the name of the main one; by default the first.

    Raises:
        ManifestError: there is no corpus of that name.
    """
    names = tuple(dict.fromkeys(corpus_name(u) for u in manifest))
    if main is not None and main not in names:
        raise ManifestError(f"{manifest.name}: no corpus is called {main!r}; there are: {', '.join(names)}")
    return Corpora(names, names[0] if main is None else main)


def _of_corpus(name: str, seen: bool | None = None) -> Selection:
    return lambda u: corpus_name(u) == name and (seen is None or bool(u.source_seen) is seen)
