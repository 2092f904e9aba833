"""Answers over time: what changes is told, what does not is not, and memory stays bounded."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from synthprint.monitoring import unknown_groups
from synthprint.monitoring.differences import MANY, ClipShare, Difference, alarming, cohens_h, share_difference, share_p
from synthprint.monitoring.expectations import Expectation
from synthprint.monitoring.monitor import compare_windows
from synthprint.monitoring.unknown_groups import UnknownGroups
from synthprint.monitoring.windows import DISTRIBUTIONS, SAMPLE, Sample, WindowCounts

SOURCES = np.array(["bark", "vits", "xtts", "piper", None], object)
OUTSIDE = [[], [], [], ["min_snr_db"], ["min_snr_db", "music"]]


def window(
    name: str, clips: int, seed: int, unknown: float = 0.3, failed: float = 0.02, shift: float = 0.0
) -> WindowCounts:
    """A window of made-up answers."""
    rng = np.random.default_rng(seed)
    has_failed = rng.random(clips) < failed
    is_unknown = ~has_failed & (rng.random(clips) < unknown)
    answer = SOURCES[rng.integers(0, 4, clips)]
    answer[has_failed | is_unknown] = None
    columns = {
        "failed": has_failed,
        "unknown": is_unknown,
        "ambiguous": ~has_failed & (rng.random(clips) < 0.2),
        "human": np.zeros(clips, bool),
        "source": answer,
        "outside": np.array([OUTSIDE[i] for i in rng.integers(0, 5, clips)] + [[]], object)[:-1],
    }
    scores = {column: np.where(has_failed, np.nan, rng.normal(shift, 1.0, clips)) for column in DISTRIBUTIONS}
    counts = WindowCounts(name, seed)
    counts.add({**columns, **scores})
    return counts


# --- The tests themselves ---------------------------------------------------------------------------------------------


def test_large_counts_give_what_the_exact_test_gives() -> None:
    reference, now = ClipShare(3000, 10_000), ClipShare(3150, 10_000)
    cells = [[now.count, now.total - now.count], [reference.count, reference.total - reference.count]]
    for alternative in ("two-sided", "greater"):
        exact = stats.fisher_exact(cells, alternative).pvalue
        assert share_p(reference, now, alternative) == pytest.approx(exact, rel=0.06)
    assert min(10_000, 10_000) * 6150 >= MANY * 20_000  # so the z test was asked
    few = ClipShare(1, 10), ClipShare(9, 10)
    assert share_p(*few) == stats.fisher_exact([[9, 1], [1, 9]]).pvalue
    assert share_p(*few, "greater") < share_p(*few)


def test_an_effect_is_seen_in_rare_shares_too() -> None:
    assert cohens_h(ClipShare(1, 1000), ClipShare(10, 1000)) > 0.1
    assert cohens_h(ClipShare(300, 1000), ClipShare(310, 1000)) < 0.1
    assert cohens_h(ClipShare(300, 1000), ClipShare(350, 1000)) > 0.1
    assert cohens_h(ClipShare(0, 5), ClipShare(5, 5)) == pytest.approx(np.pi)


def test_a_trifle_is_no_alarm_however_many_clips_show_it() -> None:
    trifle = share_difference("w", "unknown", ClipShare(300_000, 10**6), ClipShare(310_000, 10**6))
    change = share_difference("w", "unknown", ClipShare(300_000, 10**6), ClipShare(360_000, 10**6))
    found = alarming([trifle, change])
    assert max(difference.adjusted for difference in found) < 1e-40
    assert [difference.alarm for difference in found] == [False, True]
    assert alarming([trifle], least_effect=0.0)[0].alarm


def test_p_values_are_corrected_for_all_that_is_tested() -> None:
    tested = [Difference("w", "x", "share", 0.1, 0.2, 1.0, p) for p in (0.004, 0.5, 0.6, 0.7)]
    assert [difference.adjusted for difference in alarming(tested)] == pytest.approx([0.016, 0.7, 0.7, 0.7])
    assert not any(difference.alarm for difference in alarming(tested))
    assert alarming(tested[:1])[0].alarm
    assert alarming([]) == []


def test_where_nothing_changes_a_report_alarms_as_rarely_as_it_says() -> None:
    """The bar of effects is taken away: what is left is the stated rate, of the whole report."""
    rate, reports = 0.1, 50
    alarmed = 0
    for seed in range(reports):
        windows = [window(f"{day}", 150, 10 * seed + day) for day in range(5)]
        alarmed += bool(compare_windows(windows[:1], windows[1:], rate=rate, least_effect=0.0).alarms)
    assert 0 < alarmed <= stats.binom.ppf(0.999, reports, rate)


@pytest.mark.parametrize(
    ("change", "what"),
    [({"unknown": 0.5}, "unknown"), ({"failed": 0.1}, "failed"), ({"shift": 0.5}, "best score")],
)
def test_what_changes_is_an_alarm(change: dict[str, float], what: str) -> None:
    windows = [window("1", 3000, 1), window("2", 3000, 2), window("3", 3000, 3, **change)]
    alarms = compare_windows(windows[:1], windows[1:]).alarms
    assert what in {alarm.what for alarm in alarms}
    assert {alarm.window for alarm in alarms} == {"3"}
    assert f"3: {what}" in next(a for a in alarms if a.what == what).sentence().replace("the best", "best")


def test_a_source_that_booms_is_an_alarm() -> None:
    before, after = window("1", 2000, 1, unknown=0.0), window("2", 2000, 2, unknown=0.0)
    after.sources["vits"] += 300
    after.sources["bark"] -= 300
    named = {alarm.what for alarm in compare_windows([before], [after]).alarms}
    assert named == {"named vits", "named bark"}


def test_windows_that_are_empty_or_failed_are_passed_over() -> None:
    empty, failed, usual = WindowCounts("0"), window("1", 50, 1, failed=1.0), window("2", 50, 2)
    assert compare_windows([empty], [usual]).differences == ()
    found = compare_windows([usual], [failed])
    assert [difference.what for difference in found.differences] == ["failed"]
    assert found.alarms
    (note,) = [note for note in compare_windows([usual], []).notes if "nothing was compared" in note]
    assert "2" in note


def test_several_windows_may_be_the_reference() -> None:
    windows = [window(str(day), 5000, day) for day in range(4)]
    found = compare_windows(windows[:3], windows[3:])
    assert (found.reference.name, found.reference.clips) == ("0 to 2", 15_000)
    assert len(found.reference.samples["score"].values) == SAMPLE
    assert not found.alarms


def test_a_sample_is_bounded_and_of_all() -> None:
    sample = Sample(np.random.default_rng(1))
    for start in range(0, 100_000, 1000):
        sample.add(np.arange(start, start + 1000, dtype=np.float64))
    sample.add(np.array([np.nan, np.inf]))
    assert len(sample.values) == SAMPLE
    assert stats.kstest(sample.values / 100_000, "uniform").pvalue > 1e-3


def test_what_the_validation_explains_is_no_alarm() -> None:
    expectation = Expectation(ClipShare(30, 100), ClipShare(70, 100), "whitened")
    for unknown, alarm in ((0.5, False), (0.75, False), (0.97, True), (0.02, True)):
        steady = [window(str(day), 2000, day, unknown=unknown) for day in (1, 2)]
        alarms = compare_windows(steady[:1], steady[1:], expectation=expectation).alarms
        assert [a.test for a in alarms] == (["bound"] if alarm else [])


# --- Groups of unknown clips ------------------------------------------------------------------------------------------


def directions(rng: np.random.Generator, centre: np.ndarray, clips: int, spread: float = 0.5) -> np.ndarray:
    return centre + spread * rng.normal(size=(clips, len(centre))) / np.sqrt(len(centre))


def test_a_new_system_grows_into_a_group() -> None:
    rng = np.random.default_rng(1)
    centres = np.eye(32)
    groups = UnknownGroups(0.4)
    windows = [window("1", 2000, 1), window("2", 2000, 2)]
    for name in ("1", "2"):
        old = directions(rng, centres[0], 40)
        groups.add(old, name, [f"{name}/{i}" for i in range(40)], [[("bark", 0.6), ("bark", 0.5), ("vits", 0.3)]] * 40)
    new = directions(rng, centres[1], 60)
    groups.add(new, "2", [f"new/{i}" for i in range(60)], [[("xtts", 0.5)]] * 60)
    found = compare_windows(windows[:1], windows[1:], groups)
    old_group, new_group = found.groups
    assert (old_group.clips, old_group.by_window, old_group.is_new, old_group.grows) == (
        80,
        {"1": 40, "2": 40},
        False,
        False,
    )
    assert (new_group.clips, new_group.by_window, new_group.is_new, new_group.grows) == (60, {"2": 60}, True, True)
    assert new_group.examples == tuple(f"new/{i}" for i in range(5))
    assert [(r.source, r.share) for r in old_group.relatives] == [("bark", 1.0), ("vits", 1.0)]
    assert old_group.relatives[0].cosine == pytest.approx(0.6)
    assert 0.7 < new_group.mean_cosine < 0.9
    (alarm,) = found.alarms
    assert alarm.test == "growth"
    assert alarm.sentence().startswith("since 1: unknown group 2 ")


def test_the_mean_cosine_of_a_group_is_that_of_its_pairs() -> None:
    vectors = directions(np.random.default_rng(2), np.eye(8)[0], 12, 0.3)
    groups = UnknownGroups(-1.0)
    groups.add(vectors, "1", [str(i) for i in range(12)], [[]] * 12)
    (group,) = groups.groups()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = (unit @ unit.T)[np.triu_indices(12, 1)]
    assert group.mean_cosine == pytest.approx(pairs.mean())


def test_the_order_of_clips_hardly_matters() -> None:
    rng = np.random.default_rng(3)
    vectors = np.concatenate([directions(rng, centre, 50) for centre in np.eye(40)[:6]])
    sizes = set()
    for seed in range(4):
        groups = UnknownGroups(0.4)
        order = np.random.default_rng(seed).permutation(len(vectors))
        groups.add(vectors[order], "1", ["x"] * len(order), [[]] * len(order))
        sizes.add(tuple(group.clips for group in groups.groups()))
    assert sizes == {(50,) * 6}


def test_memory_stays_bounded_and_large_groups_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unknown_groups, "MOST_GROUPS", 64)
    rng = np.random.default_rng(4)
    groups = UnknownGroups(0.4)
    for _ in range(20):
        noise = rng.normal(size=(100, 128))  # clips that are alike to no other
        system = directions(rng, np.eye(128)[0] * 1.0, 10)
        groups.add(np.concatenate([noise, system]), "1", ["x"] * 110, [[("bark", 0.2)]] * 110)
    assert len(groups._sizes) <= 64
    assert groups.groups()[0].clips == 200
    assert 0 < groups.forgotten <= 2000
    (note,) = compare_windows([window("1", 5000, 1)], [window("2", 10, 1)], groups).notes
    assert "were given up" in note
