"""A search for the head of `spectral_statistics`: heads are trained on statistics computed once, and dev is looked at.

A configuration says how what follows the statistics is trained, with the project's own losses, on statistics of changed
copies of each clip. The head is measured on development sources that training never met. The criterion is the mean of
two EERs over all pairs of such clips of the main corpus: as they are, and each sent through a channel of its own. Every
training that was ever run stands in WORK/trials.jsonl. docs/earlier-searches.md says what was found.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from synthprint.backbones.spectral_statistics import PARTS, SpectralStatistics
from synthprint.extractor.recipe import FingerprintsChoice, TwinsChoice
from synthprint.manifests.corpora import list_corpora
from synthprint.progress import track
from synthprint.scoring.all_pairs import all_pairs_eer
from synthprint.shelves import find
from synthprint.training.fingerprints import fingerprint_columns, with_unheard
from synthprint.training.head_statistics import MIXES, compute_statistics, read_statistics
from synthprint.types import Embeddings, Manifest

DEFAULTS: dict[str, Any] = {
    "parts": ["fine", "deviation", "change", "roughness", "pause", "phase", "modulation"],
    "dim": 64, "hidden": 256, "dropout": 0.2, "loss": "ge2e", "loss_options": {},
    "sources": 32, "utterances": 3, "steps": 3000, "peak_lr": 1e-3, "weight_decay": 1e-5,
    "mix": "shipped", "unchanged": 0.15, "corpus": "both", "main_share": 0.0, "average": 0.0,
    "pseudo": 0.0, "pseudo_scale": 1.0, "twins": 0, "twin_share": 1.0,
    "fingerprints": 0, "fingerprint_depth": 4.0, "fingerprint_edges": 0.25, "seeds": [1, 2, 3],
}  # fmt: skip
WARM_UP = 100
SHOTS, DRAWS = 5, 5
# A training each, with its configuration under "trial": file and key are called as they ever were.
RECORD = "trials.jsonl"
FIGURES = ("criterion", "clean", "channel", "all", "shots")


class HeadSearch:
    """The precomputed statistics, and trainings on them."""

    def __init__(self, manifest: Manifest, work: Path, main: str | None = None) -> None:
        self.work, self.utterances = work, {u.id: u for u in manifest}
        self.is_main = list_corpora(manifest, main).is_main
        self.train = {kind: read_statistics(work, "train", kind) for kind in ("clean", *MIXES)}
        self.dev = {kind: read_statistics(work, "dev", kind) for kind in ("clean", "channel")}
        ends = np.cumsum([*PARTS.values()])
        self.columns = {name: np.arange(end - PARTS[name], end) for name, end in zip(PARTS, ends, strict=True)}

    def trained(self, configuration: Mapping[str, Any], seed: int) -> SpectralStatistics:
        """Train a head.

        Args:
            configuration: DEFAULTS with what differs.
            seed: of the weights, and of the draws.
        """
        torch.manual_seed(seed)
        sources = [self.utterances[key].source for key in self.train["clean"].ids]
        names = sorted(set(sources))
        dim, peak_lr = configuration["dim"], configuration["peak_lr"]
        net = SpectralStatistics(dim, configuration["hidden"], configuration["dropout"], configuration["parts"])
        loss = find("losses", configuration["loss"])(dim, len(names), **configuration["loss_options"])
        twins = TwinsChoice(configuration["twins"], configuration["twin_share"])
        fingerprints = FingerprintsChoice(
            configuration["fingerprints"], configuration["fingerprint_depth"], configuration["fingerprint_edges"]
        )
        columns = fingerprint_columns(net) if fingerprints.copies else {}
        parameters = [*net.parameters(), *loss.parameters()]
        decay = configuration["weight_decay"]
        optimizer = torch.optim.Adam(parameters, lr=peak_lr, weight_decay=decay, fused=True)
        average = torch.optim.swa_utils.AveragedModel(
            net,
            multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(configuration["average"]),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )
        net.train()
        for step, (x, y) in enumerate(self._batches(configuration, sources, names, seed)):
            rate = min(1.0, step / WARM_UP) * 0.5 * (1 + np.cos(np.pi * step / configuration["steps"]))
            for group in optimizer.param_groups:
                group["lr"] = peak_lr * rate
            features, labels = with_unheard(x, y, twins, fingerprints, columns)
            value = loss(net.head(features), labels)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            if configuration["average"]:
                average.update_parameters(net)
        return cast(SpectralStatistics, average.module if configuration["average"] else net).eval()

    def _batches(
        self, configuration: Mapping[str, Any], sources: Sequence[str], names: Sequence[str], seed: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Balanced batches of changed copies, some of them unchanged."""
        rng = np.random.default_rng(seed)
        columns = np.concatenate([self.columns[part] for part in configuration["parts"]])
        clean, changed = ([v[:, columns] for v in self.train[kind].values] for kind in ("clean", configuration["mix"]))
        by_source: dict[str, list[int]] = {name: [] for name in names}
        for place, source in enumerate(sources):
            by_source[source].append(place)
        of_main = np.array(
            [self.is_main(self.utterances[self.train["clean"].ids[by_source[name][0]]]) for name in names]
        )
        allowed = np.flatnonzero(of_main) if configuration["corpus"] == "main" else np.arange(len(names))
        weights = np.where(of_main, 1 + configuration["main_share"], 1.0)[allowed]
        means = np.stack([np.mean([clean[i].mean(axis=0) for i in by_source[name]], axis=0) for name in names])
        n, utterances = min(configuration["sources"], len(allowed)), configuration["utterances"]
        real = n - round(n * configuration["pseudo"])
        for _ in range(configuration["steps"]):
            x, y = [], []
            drawn = rng.choice(allowed, real, replace=False, p=weights / weights.sum())
            drawn = np.concatenate([drawn, rng.choice(drawn, n - real, replace=False)])
            for slot, k in enumerate(drawn):
                # A pseudo-source is a source of the batch with what tells two others apart added to its statistics.
                a, b = rng.choice(len(names), 2, replace=False)
                added = 0 if slot < real else configuration["pseudo_scale"] * rng.random() * (means[a] - means[b])
                clips = by_source[names[k]]
                for i in rng.choice(clips, utterances, replace=len(clips) < utterances):
                    rows = clean[i] if rng.random() < configuration["unchanged"] else changed[i]
                    x.append(rows[rng.integers(len(rows))] + np.float32(added))
                    y.append(k if slot < real else len(names) + slot)
            yield torch.from_numpy(np.stack(x).astype(np.float32)), torch.tensor(y)

    def embedded(self, nets: Sequence[SpectralStatistics], kind: str) -> Embeddings:
        """Development clips by one head, or by several side by side."""
        ids, values = self.dev[kind]
        owner = np.repeat(np.arange(len(ids)), [len(v) for v in values])
        rows = torch.from_numpy(np.concatenate(values))
        parts = []
        with torch.no_grad():
            for net in nets:
                columns = np.concatenate([self.columns[part] for part in net.parts])
                unit = F.normalize(net.head(rows[:, columns]))
                sums = torch.zeros(len(ids), unit.shape[1]).index_add_(0, torch.from_numpy(owner), unit)
                parts.append(F.normalize(sums))
        return Embeddings(tuple(ids), torch.cat(parts, dim=1).numpy(), "head")

    def measured(self, nets: Sequence[SpectralStatistics]) -> dict[str, float]:
        """The figures of one head, or of several side by side, on development clips."""
        figures = {}
        for kind in ("clean", "channel"):
            embeddings = self.embedded(nets, kind)
            never_met = [key for key in embeddings.ids if self._never_met(key)]
            figures[kind] = self._eer(embeddings, never_met)
            if kind == "clean":
                figures["all"] = self._eer(embeddings, list(embeddings.ids))
                figures["shots"] = self._shots(embeddings.select(never_met))
        return {"criterion": (figures["clean"] + figures["channel"]) / 2, **figures}

    def _never_met(self, key: str) -> bool:
        return self.is_main(self.utterances[key]) and not self.utterances[key].source_seen

    def _eer(self, embeddings: Embeddings, ids: list[str]) -> float:
        return all_pairs_eer(embeddings.select(ids), [self.utterances[key].source for key in ids]).eer

    def _shots(self, embeddings: Embeddings) -> float:
        """Share of clips whose nearest of the centroids of SHOTS clips is their own, mean over sources and draws."""
        sources, owner = np.unique([self.utterances[key].source for key in embeddings.ids], return_inverse=True)
        unit = embeddings.vectors / np.linalg.norm(embeddings.vectors, axis=1, keepdims=True)
        shares = []
        for draw in range(DRAWS):
            rng = np.random.default_rng([1, draw])
            order = [rng.permutation(np.flatnonzero(owner == k)) for k in range(len(sources))]
            centroids = np.stack([unit[clips[:SHOTS]].mean(axis=0) for clips in order])
            centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
            shares += [float(np.mean((unit[c[SHOTS:]] @ centroids.T).argmax(axis=1) == k)) for k, c in enumerate(order)]
        return float(np.mean(shares))


def search_heads(
    work: Path,
    manifest: Manifest | None = None,
    configurations: Mapping[str, Mapping[str, Any]] | None = None,
    main: str | None = None,
) -> list[dict[str, Any]]:
    """Compute the statistics of a manifest where they are missing, try configurations, and sum up what is on record.

    Args:
        work: a folder for statistics and the record.
        manifest: with train and dev splits; None: only what is on record.
        configurations: name -> what differs from DEFAULTS, see `try_configurations`; None: none are tried.
        main: the corpus that is looked at; None: the manifest's first.

    Returns:
        See `means`.

    Raises:
        ManifestError: a split or the corpus is missing.
        AudioError: a clip cannot be read.
    """
    if manifest is not None:
        if not all((work / f"{split}.npz").exists() for split in ("train", "dev")):
            compute_statistics(manifest, work)
        if configurations is not None:
            for _ in track(try_configurations(HeadSearch(manifest, work, main), configurations), "configurations"):
                pass
    return means(work)


def try_configurations(search: HeadSearch, configurations: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Train and measure the configurations that are not on record, record and yield them.

    Args:
        search: the statistics.
        configurations: name -> what differs from DEFAULTS. One with `together` puts heads of others side by side.
    """
    record = search.work / RECORD
    for name, changes in configurations.items():
        configuration = DEFAULTS | dict(changes)
        for seed in configuration["seeds"]:
            if any((row["name"], row["seed"]) == (name, seed) for row in recorded(record)):
                continue
            start = time.process_time()
            members = [DEFAULTS | dict(configurations[other]) for other in changes.get("together", [])]
            members = members or [configuration]
            nets = [search.trained(member, 100 * seed + place) for place, member in enumerate(members)]
            row = {"name": name, "seed": seed, **search.measured(nets), "cpu_s": time.process_time() - start}
            with record.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row | {"trial": dict(changes)}) + "\n")
            yield row


def recorded(record: Path) -> list[dict[str, Any]]:
    """The trainings on record."""
    return [json.loads(text) for text in record.read_text().splitlines()] if record.exists() else []


def means(work: Path) -> list[dict[str, Any]]:
    """Means over the seeds, best first, with "least" and "most": the range of the criterion, and "seeds"."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in recorded(work / RECORD):
        by_name.setdefault(row["name"], []).append(row)
    rows = []
    for name, of_name in by_name.items():
        criterion = [row["criterion"] for row in of_name]
        figures = {figure: float(np.mean([row[figure] for row in of_name])) for figure in FIGURES}
        rows.append({"name": name, "seeds": len(of_name), **figures, "least": min(criterion), "most": max(criterion)})
    return sorted(rows, key=lambda row: row["criterion"])
