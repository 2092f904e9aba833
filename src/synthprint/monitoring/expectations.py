"""What the validation of a gallery lets one expect of the share of unknown clips, whatever they are a mixture of.

Where a share k of the clips is of enrolled sources, a share k·FR + (1 − k)·(1 − FA) is called unknown: FR and FA are
the rates of false rejection and false acceptance of the gallery's gate, or its rule. So with any mixture the share lies
between FR and 1 − FA. Beyond, the clips are not like those of the validation, or the answers are not. The rates are
means over sources, so each source counts as one clip of theirs: clips of one source are alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from synthprint.gallery.index import Index
from synthprint.monitoring.differences import ClipShare, Difference, cohens_h, share_p


@dataclass(frozen=True)
class Expectation:
    """The least and the greatest share of unknown clips that the validation explains.

    Attributes:
        least, greatest: as shares of the sources that they are means over.
        backend: whose rates they are.
    """

    least: ClipShare
    greatest: ClipShare
    backend: str

    @classmethod
    def of_gallery(cls, folder: Path, extractor: str, backend: str | None = None) -> Expectation | None:
        """By the gate of a gallery, or its rule; None where it has neither, or is of another extractor.

        Raises:
            GalleryError: it is missing or damaged.
        """
        index = Index.read(folder)
        name = backend or index.backend
        setting = index.backends.get(name)
        if setting is None or index.extractor != extractor:
            return None
        if setting.gate and setting.gate.serves(len(index.sources)):
            quality = setting.gate.quality
            rejected, accepted = quality.false_rejection, quality.false_acceptance
            sources = quality.known_sources, quality.unknown_sources
        elif setting.rule:
            rejected, accepted = setting.rule.false_rejection, setting.rule.false_acceptance
            sources = setting.rule.known.sources, setting.rule.unknown.sources
        else:
            return None
        return cls(_share(rejected, sources[0]), _share(1 - accepted, sources[1]), name)

    def differences(self, window: str, unknown: ClipShare) -> Iterator[Difference]:
        """Test whether the share of unknown clips of a window is beyond what the validation explains."""
        for bound, what in ((self.greatest, "unknown, more than of any mixture"), (self.least, "unknown, fewer")):
            yield self._difference(window, what, bound, unknown)

    def _difference(self, window: str, what: str, bound: ClipShare, unknown: ClipShare) -> Difference:
        less, more = (bound, unknown) if bound is self.greatest else (unknown, bound)
        effect = cohens_h(bound, unknown) if more.value > less.value else 0.0
        p = share_p(less, more, "greater")
        return Difference(window, what, "bound", bound.value, unknown.value, effect, p)


def _share(rate: float, sources: int) -> ClipShare:
    return ClipShare(round(rate * sources), sources)
