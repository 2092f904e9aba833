"""Search for the shipped extractor's head: statistics are computed once, heads are trained on them, dev is looked at.

    python models/search.py MANIFEST WORK prepare             # statistics of training and development clips, minutes
    python models/search.py MANIFEST WORK run search.toml     # trials that are not in WORK/trials.jsonl yet
    python models/search.py MANIFEST WORK show

A trial trains what follows the statistics in `spectral_statistics`, with the project's own losses, on precomputed
statistics of COPIES changed copies of each clip, and is measured on development sources that training never met. The
criterion, set before the first trial, is the mean of two EERs over all pairs of such neural clips: as they are, and
each sent through a channel of its own. Every trial that was ever run stands in trials.jsonl. docs/model-search.md says
what was found.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from measure import CHANGED, neural
from prepare import position
from torch import Tensor
from torch.nn import functional as F

from synthprint import audio
from synthprint.augmentation import Augmentation
from synthprint.backbones.spectral_statistics import PARTS, SpectralStatistics
from synthprint.progress import track
from synthprint.recipes import TwinsChoice
from synthprint.scoring import all_pairs_eer
from synthprint.shelves import find
from synthprint.twins import with_twins
from synthprint.types import Embeddings, Manifest, Utterance

WINDOW = 48_000
COPIES = 6
PER_SOURCE = 40  # training clips, at most
MIXES = {
    "shipped": Augmentation(equalise=0.4, band_limit=0.2, noise=0.25, codec=0.3, silence=0.3, gain_db=20.0),
    "harsher": CHANGED,
}
DEFAULTS: dict[str, Any] = {
    "parts": ["fine", "deviation", "change", "roughness", "pause", "phase", "modulation"],
    "dim": 64, "hidden": 256, "dropout": 0.2, "loss": "ge2e", "loss_options": {},
    "sources": 32, "utterances": 3, "steps": 3000, "peak_lr": 1e-3, "weight_decay": 1e-5,
    "mix": "shipped", "unchanged": 0.15, "corpus": "both", "neural_share": 0.0, "average": 0.0,
    "pseudo": 0.0, "pseudo_scale": 1.0, "twins": 0, "twin_share": 1.0, "seeds": [1, 2, 3],
}  # fmt: skip
WARM_UP = 100
SHOTS, DRAWS = 5, 5


class Statistics(NamedTuple):
    """All parts of the statistics: of V versions of each of N clips; of the windows of each."""

    ids: list[str]
    values: list[np.ndarray]  # N times [V, S]


def chosen(manifest: Manifest) -> dict[str, list[Utterance]]:
    """The training clips, at most PER_SOURCE of a source, and the development clips of sources never met."""
    train: list[Utterance] = []
    for source in manifest.split("train").sources:
        train += sorted((u for u in manifest.split("train") if u.source == source), key=lambda u: position(u.id))[
            :PER_SOURCE
        ]
    return {"train": train, "dev": list(manifest.split("dev"))}


def versions(path: Path, place: int) -> dict[str, list[np.ndarray]]:
    """What is computed of a clip: windows as they are, changed copies of a random crop, windows after a channel."""
    wave = audio.load(path)
    found = {"clean": windows(wave), "channel": windows(CHANGED(wave, np.random.default_rng([7, place])))}
    for name, mix in MIXES.items():
        found[name] = []
        for copy in range(COPIES):
            rng = np.random.default_rng([copy, place])
            start = int(rng.integers(0, max(1, len(wave) - WINDOW + 1)))
            found[name].append(mix(audio.wrap(wave[start : start + WINDOW], WINDOW), rng))
    return found


def windows(wave: np.ndarray) -> list[np.ndarray]:
    """The windows that cover a wave, as in extraction."""
    return [audio.wrap(wave, WINDOW)[s : s + WINDOW] for s in audio.window_starts(len(wave), WINDOW)]


def computed(path: Path, place: int, kinds: Sequence[str]) -> dict[str, np.ndarray]:
    """Statistics [V, S] of the versions of a clip."""
    torch.set_num_threads(1)
    backbone = SpectralStatistics(parts=tuple(PARTS))
    made = versions(path, place)
    found = {}
    with torch.no_grad():
        for kind in kinds:
            parts = backbone.statistics(torch.from_numpy(np.stack(made[kind])))
            found[kind] = torch.cat([parts[name] for name in PARTS], dim=1).numpy()
    return found


def prepare(manifest: Manifest, work: Path) -> None:
    """Compute and keep the statistics of both splits."""
    work.mkdir(parents=True, exist_ok=True)
    for split, clips in chosen(manifest).items():
        kinds = ["clean", *MIXES] if split == "train" else ["clean", "channel"]
        paths = [manifest.audio_path(u) for u in clips]
        with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
            rows = list(
                track(
                    pool.map(computed, paths, range(len(paths)), [kinds] * len(paths), chunksize=16), split, len(paths)
                )
            )
        arrays = {f"{kind}_{i}": row[kind] for i, row in enumerate(rows) for kind in kinds}
        np.savez(work / f"{split}.npz", ids=np.array([u.id for u in clips]), **arrays)


def opened(work: Path, split: str, kind: str) -> Statistics:
    """One kind of versions of a split."""
    with np.load(work / f"{split}.npz") as file:
        ids = file["ids"].tolist()
        return Statistics(ids, [file[f"{kind}_{i}"] for i in range(len(ids))])


class Search:
    """The precomputed statistics, and trials on them."""

    def __init__(self, manifest: Manifest, work: Path) -> None:
        self.work, self.utterances = work, {u.id: u for u in manifest}
        self.train = {kind: opened(work, "train", kind) for kind in ("clean", *MIXES)}
        self.dev = {kind: opened(work, "dev", kind) for kind in ("clean", "channel")}
        ends = np.cumsum([*PARTS.values()])
        self.columns = {name: np.arange(end - PARTS[name], end) for name, end in zip(PARTS, ends, strict=True)}

    def trained(self, trial: Mapping[str, Any], seed: int) -> SpectralStatistics:
        """Train a head."""
        torch.manual_seed(seed)
        sources = [self.utterances[key].source for key in self.train["clean"].ids]
        names = sorted(set(sources))
        net = SpectralStatistics(trial["dim"], trial["hidden"], trial["dropout"], trial["parts"])
        loss = find("losses", trial["loss"])(trial["dim"], len(names), **trial["loss_options"])
        twins = TwinsChoice(trial["twins"], trial["twin_share"])
        parameters = [*net.parameters(), *loss.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=trial["peak_lr"], weight_decay=trial["weight_decay"], fused=True)
        average = torch.optim.swa_utils.AveragedModel(
            net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(trial["average"]), use_buffers=True
        )
        net.train()
        for step, (x, y) in enumerate(self._batches(trial, sources, names, seed)):
            rate = min(1.0, step / WARM_UP) * 0.5 * (1 + np.cos(np.pi * step / trial["steps"]))
            for group in optimizer.param_groups:
                group["lr"] = trial["peak_lr"] * rate
            features, labels = with_twins(x, y, twins)
            value = loss(net.head(features), labels)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            if trial["average"]:
                average.update_parameters(net)
        return (average.module if trial["average"] else net).eval()

    def _batches(
        self, trial: Mapping[str, Any], sources: Sequence[str], names: Sequence[str], seed: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Balanced batches of changed copies, some of them unchanged."""
        rng = np.random.default_rng(seed)
        columns = np.concatenate([self.columns[part] for part in trial["parts"]])
        clean, changed = ([v[:, columns] for v in self.train[kind].values] for kind in ("clean", trial["mix"]))
        by_source: dict[str, list[int]] = {name: [] for name in names}
        for place, source in enumerate(sources):
            by_source[source].append(place)
        is_neural = np.array([neural(self.utterances[self.train["clean"].ids[by_source[name][0]]]) for name in names])
        allowed = np.flatnonzero(is_neural) if trial["corpus"] == "neural" else np.arange(len(names))
        weights = np.where(is_neural, 1 + trial["neural_share"], 1.0)[allowed]
        means = np.stack([np.mean([clean[i].mean(axis=0) for i in by_source[name]], axis=0) for name in names])
        n = min(trial["sources"], len(allowed))
        real = n - round(n * trial["pseudo"])
        for _ in range(trial["steps"]):
            x, y = [], []
            drawn = rng.choice(allowed, real, replace=False, p=weights / weights.sum())
            drawn = np.concatenate([drawn, rng.choice(drawn, n - real, replace=False)])
            for slot, k in enumerate(drawn):
                # A pseudo-source is a source of the batch with what tells two others apart added to its statistics.
                a, b = rng.choice(len(names), 2, replace=False)
                added = 0 if slot < real else trial["pseudo_scale"] * rng.random() * (means[a] - means[b])
                clips = by_source[names[k]]
                for i in rng.choice(clips, trial["utterances"], replace=len(clips) < trial["utterances"]):
                    of = clean[i] if rng.random() < trial["unchanged"] else changed[i]
                    x.append(of[rng.integers(len(of))] + np.float32(added))
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
        return Embeddings(tuple(ids), torch.cat(parts, dim=1).numpy(), "trial")

    def measured(self, nets: Sequence[SpectralStatistics]) -> dict[str, float]:
        """The figures of a trial, on development clips."""
        found = {}
        for kind in ("clean", "channel"):
            embeddings = self.embedded(nets, kind)
            never_met = [key for key in embeddings.ids if self._never_met(key)]
            found[kind] = self._eer(embeddings, never_met)
            if kind == "clean":
                found["all"] = self._eer(embeddings, list(embeddings.ids))
                found["shots"] = self._shots(embeddings.select(never_met))
        return {"criterion": (found["clean"] + found["channel"]) / 2, **found}

    def _never_met(self, key: str) -> bool:
        return neural(self.utterances[key]) and not self.utterances[key].source_seen

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


def run(search: Search, trials: Mapping[str, Mapping[str, Any]]) -> None:
    """Run the trials that are not on record. One with `together` puts heads of other trials side by side."""
    record = search.work / "trials.jsonl"
    for name, changes in trials.items():
        trial = DEFAULTS | dict(changes)
        for seed in trial["seeds"]:
            if any((one["name"], one["seed"]) == (name, seed) for one in recorded(record)):
                continue
            start = time.process_time()
            members = [DEFAULTS | dict(trials[other]) for other in changes.get("together", [])] or [trial]
            nets = [search.trained(member, 100 * seed + place) for place, member in enumerate(members)]
            row = {"name": name, "seed": seed, **search.measured(nets), "cpu_s": time.process_time() - start}
            with record.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row | {"trial": dict(changes)}) + "\n")
            print(line(row), flush=True)  # noqa: T201 - a script


def recorded(record: Path) -> list[dict[str, Any]]:
    """The trials on record."""
    return [json.loads(text) for text in record.read_text().splitlines()] if record.exists() else []


def line(row: Mapping[str, Any]) -> str:
    """A trial in a line."""
    names = ("criterion", "clean", "channel", "all", "shots")
    return f"{row['name']:<32} {row['seed']!s:>5} " + " ".join(f"{name} {100 * row[name]:5.1f}" for name in names)


def show(work: Path) -> None:
    """Means over the seeds, best first, with the range of the criterion."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in recorded(work / "trials.jsonl"):
        by_name.setdefault(row["name"], []).append(row)
    figures = ("criterion", "clean", "channel", "all", "shots")
    means = {name: {f: float(np.mean([row[f] for row in rows])) for f in figures} for name, rows in by_name.items()}
    for name in sorted(means, key=lambda key: means[key]["criterion"]):
        values = [100 * row["criterion"] for row in by_name[name]]
        print(line({"name": name, "seed": len(values)} | means[name]), f"({min(values):.1f} to {max(values):.1f})")  # noqa: T201


def main() -> None:
    """Prepare, run or show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("do", choices=("prepare", "run", "show"))
    parser.add_argument("trials", type=Path, nargs="?", default=Path(__file__).parent / "search.toml")
    arguments = parser.parse_args()
    if arguments.do == "show":
        show(arguments.work)
        return
    manifest = Manifest.load(arguments.manifest)
    if arguments.do == "prepare":
        prepare(manifest, arguments.work)
    else:
        torch.set_num_threads(1)
        run(Search(manifest, arguments.work), tomllib.loads(arguments.trials.read_text()))


if __name__ == "__main__":
    main()
