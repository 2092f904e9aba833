"""A safetensors file is believed as far as it bears its header out."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from synthprint.errors import EmbeddingsError
from synthprint.reading.schemas import Refused
from synthprint.reading.tensors import Column, check_tensors, open_tensors
from synthprint.types import Embeddings, Windows

TENSORS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "none": np.zeros((0, 4), np.int64),
    "one": np.array(3.5),
    "text": np.frombuffer(b"abc", np.uint8),
    "half": np.array([1.5, -2], np.float16),
    "flags": np.array([True, False]),
}


def written(path: Path, header: object, body: bytes = b"") -> Path:
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(data)) + data + body)
    return path


def place(dtype: str = "F32", shape: object = (1,), first: object = 0, last: object = 4) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


def test_it_reads_what_the_library_writes(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "t", {"key": "value"})
    expected = load_file(tmp_path / "t")
    with open_tensors(tmp_path / "t") as file:
        assert file.metadata == {"key": "value"}
        assert file.places.keys() == expected.keys()
        for name, values in expected.items():
            found = file.get(name)
            assert (found.dtype, found.shape, found.tobytes()) == (values.dtype, values.shape, values.tobytes())


@pytest.mark.parametrize(
    ("header", "body", "told"),
    [
        ({"x": place("BF16", [2])}, b"1234", "tensor 'x' is of dtype BF16, which numpy does not have"),
        ({"x": place("F8_E4M3", [4])}, b"1234", "tensor 'x' is of dtype F8_E4M3"),
        ({"x": place("F4", [8])}, b"1234", "tensor 'x' is of dtype F4"),
        ({"x": place(shape=[1 << 40, 1 << 40])}, b"1234", r"tensor 'x' of F32 .* does not fit in 4 bytes"),
        ({"x": place(shape=[-1])}, b"1234", r"x\.shape\[0\] must be a whole number, at least 0, not -1"),
        ({"x": place(shape=[1] * 99)}, b"1234", r"x\.shape must be a list, of length at most 16"),
        ({"x": place(shape=["1"])}, b"1234", r"x\.shape\[0\] must be a whole number, not '1'"),
        ({"x": place(last=1 << 60)}, b"1234", r"x\.data_offsets\[1\] must be a whole number"),
        ({"x": place(last=10**400)}, b"1234", r"x\.data_offsets\[1\] must be a finite number"),
        ({"x": place(last=8, shape=[2])}, b"1234", "tensor 'x' lies at 0 to 8 of 4 bytes"),
        ({"x": place(first=4, last=0)}, b"1234", "tensor 'x' lies at 4 to 0"),
        ({"x": place(), "y": place()}, b"1234", "tensor 'y' lies at 0 to 4"),
        ({"x": place()}, b"12345", "has 5 bytes of tensors where its header says 4"),
        ({"x": place(dtype=3)}, b"1234", r"x\.dtype must be text, not 3"),
        ({"x": {**place(), "more": 1}}, b"1234", "x: unknown key 'more'"),
        ({"x": []}, b"", "x is missing, or not an object"),
        ({"__metadata__": {"a": 1}}, b"", r"__metadata__\.a must be text, not 1"),
        ({"__metadata__": [1]}, b"", "__metadata__ is missing, or not an object|__metadata__ must be an object"),
        (b'{"x": 1, "x": 2}', b"", "has the key 'x' twice"),
        (b"[" * 100_000, b"", "is nested more than 64 deep"),
        (b"[1]", b"", "must be an object"),
        (b"\xff\xff", b"", "is not JSON"),
    ],
)
def test_a_header_that_does_not_hold_is_refused(header: object, body: bytes, told: str, tmp_path: Path) -> None:
    path = written(tmp_path / "t", header, body)
    with pytest.raises(Refused, match=told) as caught, open_tensors(path) as file:
        file.get("x")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"1234567", struct.pack("<Q", 1 << 62) + b"{}", struct.pack("<Q", 3) + b"{}"])
def test_a_file_that_is_none_is_refused_before_memory_is_taken(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(data)
    with pytest.raises(Refused, match="is no safetensors file, or is cut off"):
        check_tensors(tmp_path / "t")


def test_tensors_are_what_is_expected(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "t")
    with open_tensors(tmp_path / "t") as file:
        assert file.take({"a": Column(("F32",), 2), "b": Column(("F32",), 2)}, optional=("b",)).keys() == {"a"}
        for name, column, told in (
            ("a", Column(("F32",), 1), r"tensor 'a' must be F32 of 1 dimension, not F32 \[2, 3\]"),
            ("a", Column(("I64", "I32"), 2), "tensor 'a' must be I64 or I32 of 2 dimensions, not F32"),
            ("b", Column(("F32",), 2), "tensor 'b' is missing"),
        ):
            with pytest.raises(Refused, match=told):
                file.take({name: column})


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("vectors", np.zeros(8, np.float32), "tensor 'vectors' must be F32 or F64 or F16 of 2 dimensions"),
        ("vectors", np.zeros((2, 4), np.int64), "tensor 'vectors' must be F32"),
        ("vectors", np.full((2, 4), 1e300), "the embedding of 'a' is not finite"),
        ("ids_utf8", np.zeros(3, np.int32), "tensor 'ids_utf8' must be U8 of 1 dimension"),
        ("ids_utf8", np.frombuffer(b"a", np.uint8), "1 ids need vectors"),
        ("ids_utf8", None, "tensor 'ids_utf8' is missing"),
        ("window_owners", np.array([0.5]), "tensor 'window_owners' must be I64 or I32"),
        ("window_owners", np.array([7]), "outside the 2 utterances"),
        ("window_starts_s", None, "tensor 'window_starts_s' is missing"),
    ],
)
def test_embeddings_that_are_none_are_named(name: str, value: np.ndarray | None, told: str, tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    windows = Windows(np.zeros((1, 4), np.float32), np.array([1]), np.array([0.5]))
    Embeddings(("a", "b"), np.ones((2, 4), np.float32), "x", windows).save(path)
    tensors = load_file(path)
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value
    save_file(tensors, path, {"format": "synthprint-embeddings-1", "extractor": "x"})
    with pytest.raises(EmbeddingsError, match=rf"e\.safetensors: .*{told}") as caught:
        Embeddings.load(path)
    assert "\n" not in str(caught.value)


def test_embeddings_are_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "gone").symlink_to("nowhere")
    for name, told in (("fifo", "a named pipe"), ("zero", "a device"), (".", "a folder"), ("gone", "a link to")):
        with pytest.raises(EmbeddingsError, match=f"cannot be read as embeddings: .*{told}"):
            Embeddings.load(tmp_path / name)
