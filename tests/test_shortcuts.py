"""What trivial features give away: everything where that is all there is, nothing where there is nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_files import noise, noise_corpus, save
from synthprint.errors import MissingDependency
from synthprint.linting import shortcuts
from synthprint.linting.linter import Report, lint
from synthprint.manifests.opening import open_manifest


def accuracies(report: Report) -> dict[str, float]:
    assert report.shortcuts is not None
    return {s.group: s.balanced_accuracy for s in report.shortcuts.groups}


def test_where_only_the_level_differs_only_the_level_gives_the_source_away(tmp_path: Path) -> None:
    report = lint(noise_corpus(tmp_path, 20, lambda source, wave: wave * 2.0**-source))
    found_by = accuracies(report)
    assert found_by["level"] > 0.98
    assert found_by[shortcuts.ALL] > 0.98
    assert max(found_by[group] for group in ("format", "duration", "silence", "bandwidth")) < 0.6
    assert report.shortcuts is not None
    finding = report.shortcuts.finding()
    assert finding in report.findings
    assert finding is not None
    assert finding.examples[0].endswith("(100%)")
    assert (report.shortcuts.clips, report.shortcuts.sources, report.shortcuts.chance) == (60, 3, pytest.approx(1 / 3))


def test_where_nothing_differs_the_source_is_guessed_by_luck(tmp_path: Path) -> None:
    report = lint(noise_corpus(tmp_path, 40, lambda _, wave: wave))
    assert all(abs(accuracy - 1 / 3) < 0.15 for accuracy in accuracies(report).values())
    assert report.shortcuts is not None
    assert report.shortcuts.finding() is None
    assert not [finding for finding in report.findings if finding.code == "shortcut"]


@pytest.mark.parametrize(
    ("group", "change"),
    [
        ("duration", lambda source, wave: wave[: len(wave) - 1000 * source]),
        ("silence", lambda source, wave: np.concatenate([np.zeros(160 * source, np.float32), wave[160 * source :]])),
        ("bandwidth", lambda source, wave: np.convolve(wave, np.hanning(3 + 2 * source), "same").astype(np.float32)),
    ],
)
def test_each_group_sees_its_own_difference(
    tmp_path: Path, group: str, change: Callable[[int, np.ndarray], np.ndarray]
) -> None:
    assert accuracies(lint(noise_corpus(tmp_path, 15, change)))[group] > 0.9


def test_the_format_gives_a_source_away(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(6):
        save(tmp_path / "wav" / f"{i}.wav", noise(rng))
        save(tmp_path / "flac" / f"{i}.flac", noise(rng))
        save(tmp_path / "float" / f"{i}.wav", noise(rng), subtype="FLOAT")
        save(tmp_path / "rare" / f"{i % 4}.wav", noise(rng))
    report = lint(open_manifest(tmp_path))
    assert accuracies(report)["format"] == 1.0
    assert "1 source left out of the shortcuts: fewer than 5 decoded clips" in report.remarks[-1]


def test_copies_of_a_file_do_not_count_as_right_guesses(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for source in ("a", "b"):
        for i in range(6):
            wave = noise(rng)
            save(tmp_path / source / f"{i}.wav", wave)
            save(tmp_path / source / f"{i} again.wav", wave)
    report = lint(open_manifest(tmp_path))
    assert report.shortcuts is not None
    assert report.shortcuts.clips == 12


def test_without_scikit_learn_all_else_is_checked_and_a_remark_says_what_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = noise_corpus(tmp_path, 8, lambda source, wave: wave * 2.0**-source)
    (tmp_path / "source0" / "7.wav").write_bytes(b"")
    whole = lint(manifest)
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    bare = lint(manifest)
    assert bare.shortcuts is None
    assert bare.findings == tuple(finding for finding in whole.findings if finding.code != "shortcut")
    assert {"empty-file", "shortcut"} <= {finding.code for finding in whole.findings}
    assert bare.remarks[-1] == (
        "shortcuts were not looked for: scikit-learn is not installed; pip install 'synthprint[lint]'"
    )
    with pytest.raises(MissingDependency, match=r"scikit-learn.*pip install 'synthprint\[lint\]'"):
        shortcuts.guess(np.ones((10, 1)), np.repeat([0, 1], 5))


def test_guesses_do_not_depend_on_the_number_of_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    features, labels = rng.random((120, 3)), np.repeat(np.arange(6), 20)
    guesses = []
    for count in (1, 2, 5):
        monkeypatch.setattr(shortcuts, "processors", lambda count=count: count)
        guesses.append(shortcuts.guess(features, labels))
    assert (guesses[0] == guesses[1]).all()
    assert (guesses[0] == guesses[2]).all()


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_guessing_is_repeatable_and_blind_to_scale(seed: int, n_labels: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(n_labels), 6)
    features = rng.integers(0, 50, (len(labels), 3)).astype(np.float64)
    guessed = shortcuts.guess(features, labels)
    assert set(guessed) <= set(labels)
    assert (guessed == shortcuts.guess(features * [1, 4, 1024], labels)).all()


def test_guessing_follows_a_rule_that_needs_two_features_and_ignores_noise() -> None:
    rng = np.random.default_rng(0)
    features = rng.random((400, 4))
    labels = (features[:, 0] > 0.5).astype(np.int64) * 2 + (features[:, 1] > 0.5)
    clear = (np.abs(features[:, :2] - 0.5) > 0.1).all(axis=1)
    assert (shortcuts.guess(features, labels) == labels)[clear].mean() > 0.9
    assert (shortcuts.guess(features[:, 2:], labels) == labels).mean() < 0.4


def test_a_label_never_takes_part_in_its_own_guess() -> None:
    rng = np.random.default_rng(0)
    features, labels = rng.random((60, 2)), np.repeat([0, 1, 2], 20)
    features[labels == 0] += 10  # what is label 0 by its features but not by its label must be guessed 0
    labels_told = labels.copy()
    odd = np.flatnonzero(labels == 0)[:2]
    labels_told[odd] = 1
    assert (shortcuts.guess(features, labels_told)[odd] == 0).all()
