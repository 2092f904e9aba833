"""A checkpoint's graph is looked through before it runs, and runs within limits."""

from __future__ import annotations

import hashlib
import json
import random
import resource
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from synthprint.errors import CheckpointError
from synthprint.extractor import graph_session, graphs
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.extractor.graph_session import GraphSession
from synthprint.extractor.graphs import outline
from synthprint.extractor.runtime import OnnxExtractor, load_backbone, load_extractor
from synthprint.model.shipped import model_folder
from synthprint.reading.schemas import Refused

MODEL = model_folder()
GRAPH = (MODEL / "model.onnx").read_bytes()
WINDOW, DIM = 400, 8


def integers(name: str, *values: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], **options: Any) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), list(outputs), **options)


def model(
    *nodes: onnx.NodeProto,
    constants: Sequence[onnx.TensorProto] = (),
    window: object = WINDOW,
    dim: object = DIM,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A graph whose embedding is the first DIM samples of the window; `nodes` give "more", which is added as a mean."""
    graph = helper.make_graph(
        [
            node("Slice", ["waveform", "zero", "dim", "one"], ["start"]),
            *nodes,
            *([node("ReduceMean", ["more"], ["mean"], keepdims=0)] if nodes else []),
            node("Add" if nodes else "Identity", ["start", "mean"] if nodes else ["start"], ["embedding"]),
        ],
        "graph",
        [helper.make_tensor_value_info("waveform", kind, ["batch", window])],
        [helper.make_tensor_value_info("embedding", kind, ["batch", dim])],
        [integers("zero", 0), integers("one", 1), integers("dim", DIM), *constants],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def session(made: onnx.ModelProto | bytes, window: int = WINDOW, dim: int = DIM, **further: int) -> GraphSession:
    data = made if isinstance(made, bytes) else made.SerializeToString()
    return GraphSession(data, {"waveform": window}, {"embedding": dim, **further})


def test_a_graph_gives_what_onnxruntime_gives_to_the_last_bit() -> None:
    from onnxruntime import InferenceSession

    rng = np.random.default_rng(0)
    plain = InferenceSession(GRAPH, providers=["CPUExecutionProvider"])
    shipped = Checkpoint.load(MODEL)
    limited = GraphSession(GRAPH, shipped.inputs, shipped.outputs)
    options = graph_session.run_options()
    for _ in range(3):
        window = (0.1 * rng.standard_normal(shipped.window_samples)).astype(np.float32)
        given, expected = limited.run(window, options), plain.run(None, {"waveform": window[None]})
        assert [values.tobytes() for values in given] == [values.tobytes() for values in expected]
        assert [values.shape for values in given] == [(1, size) for size in shipped.outputs.values()]


def test_the_shipped_graph_is_flat_and_its_outline_is_onnx_s() -> None:
    seen, proto = outline(GRAPH, outputs=("embedding", "features")), onnx.load_from_string(GRAPH)
    assert (seen.inputs, seen.outputs) == ([b"waveform"], [b"embedding", b"features"])
    assert seen.nodes == len(proto.graph.node)
    assert {name.decode() for name in seen.constants} >= {tensor.name for tensor in proto.graph.initializer}
    constants = {tensor.name for tensor in proto.graph.initializer}
    folded = 0
    for operator in proto.graph.node:  # ONNX has them in an order in which what they need comes before
        if operator.op_type in ("Shape", "Size") or constants.issuperset(filter(None, operator.input)):
            constants.update(operator.output)
            folded += 1
    assert seen.folded == folded < seen.nodes


def test_what_gives_only_constants_is_counted() -> None:
    made = model(
        node("ConstantOfShape", ["dim"], ["a"]), node("Neg", ["a"], ["b"]), node("Shape", ["waveform"], ["shape"]),
        node("Expand", ["b", "shape"], ["c"]), node("Mul", ["c", "start"], ["more"]),
    )  # fmt: skip
    assert outline(made.SerializeToString()).folded == 4


def loop() -> onnx.ModelProto:
    body = helper.make_graph(
        [node("Identity", ["going"], ["again"])],
        "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []),
         helper.make_tensor_value_info("going", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("again", TensorProto.BOOL, [])],
    )  # fmt: skip
    return model(node("Loop", ["", "yes"], [], body=body), node("Identity", ["start"], ["more"]),
                 constants=[numpy_helper.from_array(np.array(True), "yes")])  # fmt: skip


def outside(where: str = "initializer") -> onnx.ModelProto:
    tensor = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")
    if where == "initializer":
        return model(node("Identity", ["weights"], ["more"]), constants=[tensor])
    return model(node("Constant", [], ["more"], value=tensor))


def with_function() -> onnx.ModelProto:
    made = model()
    made.functions.append(helper.make_function("own", "f", ["x"], ["y"], [node("Neg", ["x"], ["y"])], []))
    return made


def renamed(side: str) -> onnx.ModelProto:
    made = model()
    if side == "input":
        made.graph.input[0].name = made.graph.node[0].input[0] = "audio"
    else:
        made.graph.output[0].name = made.graph.node[-1].output[0] = "vector"
    return made


def with_second(side: str) -> onnx.ModelProto:
    made = model(node("Neg", ["start"], ["more"]))
    getattr(made.graph, side).append(helper.make_tensor_value_info("more", TensorProto.FLOAT, ["batch", DIM]))
    return made


WORDS = numpy_helper.from_array(np.array(["x" * 50], object), "words")


def truncated() -> onnx.ModelProto:
    """A kind that is "text" in the 32 bits that are read of it."""
    made = model(node("Cast", ["start"], ["more"], to=TensorProto.STRING))
    made.graph.node[1].attribute[0].i += 1 << 32
    return made


REFUSED: dict[str, tuple[Callable[[], onnx.ModelProto | bytes], str]] = {
    "garbage": (lambda: b"garbage\n", "is no ONNX graph: byte 1 "),
    "nothing": (lambda: b"", "is no ONNX graph$"),
    "cut off": (lambda: GRAPH[:-1], "is no ONNX graph, or is cut off"),
    "a number without end": (lambda: b"\x08" + b"\xff" * 50, "is no ONNX graph, or is cut off"),
    "a length without end": (lambda: b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "is no ONNX graph, or is cut off"),
    "operator of others": (
        lambda: model(node("FusedMatMul", ["start", "start"], ["more"], domain="com.microsoft")),
        "has the operator 'FusedMatMul' of domain 'com.microsoft'",
    ),
    "operator of the machine's owner": (lambda: model(node("Shell", ["start"], ["more"], domain="x")), "domain 'x'"),
    "loop": (loop, "has a graph within the operator 'Loop'"),
    "function": (with_function, "has functions"),
    "chance": (
        lambda: model(node("RandomNormalLike", ["start"], ["more"])),
        "'RandomNormalLike'; an answer must not depend on chance",
    ),
    "data elsewhere": (outside, "has data outside the graph's own file"),
    "constant elsewhere": (lambda: outside("constant"), "has data outside the graph's own file"),
    "texts": (lambda: model(node("Size", ["words"], ["more"]), constants=[WORDS]), "has texts among its values"),
    "texts in a constant": (lambda: model(node("Constant", [], ["more"], value=WORDS)), "has texts among its values"),
    "a text as constant": (
        lambda: model(node("Constant", [], ["more"], value_string="x")), "has texts among its values"),
    "some texts as constant": (
        lambda: model(node("Constant", [], ["more"], value_strings=["x", "y"])), "has texts among its values"),
    "texts of the window": (
        lambda: model(node("Cast", ["start"], ["t"], to=TensorProto.STRING), node("Size", ["t"], ["more"])),
        "has texts among its values",
    ),
    "texts of 33 bits": (truncated, "has texts among its values"),
    "operator on texts": (lambda: model(node("StringConcat", ["a", "b"], ["more"])), "'StringConcat'; only tensors of"),
    "list": (lambda: model(node("SplitToSequence", ["start"], ["more"])), "'SplitToSequence'; only tensors of"),
    "list put together": (lambda: model(node("SequenceInsert", ["start"], ["more"])), "'SequenceInsert'; only tensors"),
    "option": (lambda: model(node("Optional", ["start"], ["more"])), "'Optional'; only tensors of numbers"),
    "another input": (lambda: renamed("input"), "must have one input, 'waveform'; it has: 'audio'"),
    "another output": (lambda: renamed("output"), "must have one output, 'embedding'; it has: 'vector'"),
    "two inputs": (lambda: with_second("input"), "must have one input, 'waveform'; it has: 'waveform', 'more'"),
    "two outputs": (lambda: with_second("output"), "must have one output, 'embedding'; it has: 'embedding', 'more'"),
    "no such operator": (lambda: model(node("Frobnicate", ["start"], ["more"])), "cannot be run: onnxruntime says"),
    "wrong wiring": (lambda: model(node("Neg", ["nowhere"], ["more"])), "cannot be run: onnxruntime says"),
    "shapes at odds": (
        lambda: model(node("MatMul", ["start", "start"], ["more"])),
        "cannot be run: onnxruntime says",
    ),
    "another window": (lambda: model(window=WINDOW + 1), r"'waveform' is tensor\(float\) \['batch', 401\]"),
    "doubles": (lambda: model(kind=TensorProto.DOUBLE), r"'waveform' is tensor\(double\)"),
    "not a number": (lambda: model(node("Log", ["minus"], ["more"]), constants=[
        numpy_helper.from_array(np.full(3, -1, np.float32), "minus")]), "not finite for a first window"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_graph_that_may_not_run_is_refused(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    make, told = REFUSED[name]
    with pytest.raises(Refused, match=told) as caught:
        session(make())
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")  # onnxruntime keeps quiet


def test_a_graph_is_what_its_description_says() -> None:
    assert session(model())
    with pytest.raises(Refused, match=r"'waveform' is tensor.float. \['batch', 400\], and its description asks for"):
        session(model(), window=WINDOW - 1)
    with pytest.raises(
        Refused, match=r"'embedding' is tensor.float. \['batch', 8\], and its description asks for .*9\]"
    ):
        session(model(), dim=DIM + 1)


def halves(op: str = "Neg", name: str = "features") -> onnx.ModelProto:
    """A graph that also gives the first DIM samples of the window, changed by an operator."""
    made = model()
    made.graph.node.append(node(op, ["start"], [name]))
    made.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", DIM]))
    return made


def test_a_graph_may_give_features_too() -> None:
    window = np.arange(WINDOW, dtype=np.float32)
    embedding, features = session(halves(), features=DIM).run(window, graph_session.run_options())
    np.testing.assert_array_equal(embedding, window[None, :DIM])
    np.testing.assert_array_equal(features, -window[None, :DIM])


@pytest.mark.parametrize(
    ("made", "further", "told"),
    [
        (halves(), {}, "must have one output, 'embedding'; it has: 'embedding', 'features'"),
        (model(), {"features": DIM}, "must have 2 outputs, 'embedding', 'features'; it has: 'embedding'$"),
        (halves(name="more"), {"features": DIM}, "must have 2 outputs, .*; it has: 'embedding', 'more'"),
        (halves(), {"features": DIM + 1}, r"'features' is tensor.float. \['batch', 8\], and its description .*9\]"),
        (halves("Not"), {"features": DIM}, "cannot be run: onnxruntime says"),
        (halves("Log"), {"features": DIM}, "gives values that are not finite for a first window"),
    ],
)
def test_features_are_what_the_description_says(made: onnx.ModelProto, further: dict[str, int], told: str) -> None:
    with pytest.raises(Refused, match=told):
        session(made, **further)


def test_the_graph_of_a_head_takes_features() -> None:
    made = model()
    made.graph.input[0].name = made.graph.node[0].input[0] = "features"
    data = made.SerializeToString()
    head = GraphSession(data, {"features": WINDOW}, {"embedding": DIM})
    row = np.arange(WINDOW, dtype=np.float32)
    np.testing.assert_array_equal(head.run(row, graph_session.run_options())[0], row[None, :DIM])
    with pytest.raises(Refused, match="must have one input, 'waveform'; it has: 'features'"):
        session(data)
    with pytest.raises(
        Refused, match=r"'features' is tensor.float. \['batch', 400\], and its description asks for .*401"
    ):
        GraphSession(data, {"features": WINDOW + 1}, {"embedding": DIM})


def test_a_size_that_the_graph_leaves_open_is_seen_at_the_first_window() -> None:
    """The number of samples that are given back is worked out from the window."""
    graph = helper.make_graph(
        [
            node("ReduceMean", ["waveform"], ["mean"], keepdims=0),
            node("Mul", ["mean", "nothing"], ["none"]),
            node("Add", ["none", "size"], ["some"]),
            node("Cast", ["some"], ["whole"], to=TensorProto.INT64),
            node("Reshape", ["whole", "one"], ["end"]),
            node("Slice", ["waveform", "zero", "end", "one"], ["embedding"]),
        ],
        "graph",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", WINDOW])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", "size"])],
        [
            integers("zero", 0),
            integers("one", 1),
            numpy_helper.from_array(np.array(0, np.float32), "nothing"),
            numpy_helper.from_array(np.array(DIM, np.float32), "size"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()
    assert session(made)
    with pytest.raises(Refused, match=r"gives \(1, 8\) for a window, not \[1, 9\]"):
        session(made, dim=9)
    graph.node[-1].output[0] = graph.output[0].name = "features"
    graph.node.append(node("Identity", ["features"], ["embedding"]))
    graph.output.insert(0, helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", "size"]))
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()
    assert session(made, features=DIM)
    with pytest.raises(Refused, match=r"gives \(1, 8\) for a window, not \[1, 9\]"):
        session(made, features=9)


def test_fields_that_are_looked_at_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MOST_FIELDS", 1000)
    with pytest.raises(Refused, match="has more than 1,000 fields"):
        outline(GRAPH)


def test_operators_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert graphs.MOST_NODES == 20_000
    monkeypatch.setattr(graphs, "MOST_NODES", 3)
    assert outline(model().SerializeToString()).nodes == 2
    with pytest.raises(Refused, match="has more than 3 operators"):
        outline(model(node("Neg", ["start"], ["more"])).SerializeToString())


def test_no_operator_runs_while_a_session_is_made() -> None:
    """Products of constants, which would take a minute: the first window is what runs them, and has a limit of time."""
    products = [node("MatMul", ["p0", f"p{i}"], [f"p{i + 1}"]) for i in range(200)]
    made = model(node("ConstantOfShape", ["size"], ["p0"]), *products, node("Identity", ["p200"], ["more"]),
                 constants=[integers("size", 1000, 1000)]).SerializeToString()  # fmt: skip
    started = time.monotonic()
    graph_session._session(made, 1 << 30, 256 << 20)
    assert time.monotonic() - started < 2


def test_mutated_graphs_are_refused_or_run() -> None:
    rng = random.Random(1)
    made, refused = model(node("Neg", ["start"], ["more"])).SerializeToString(), 0
    for _ in range(400):
        data = bytearray(made)
        for _ in range(rng.choice((1, 3))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            session(bytes(data))
        except Refused:
            refused += 1
    assert 100 < refused < 400


# --- memory and time --------------------------------------------------------------------------------------------------

FLOATS = 25_000_000_000  # 100 GB


def chain(times: int) -> list[onnx.NodeProto]:
    """Twice as much each time, of a constant: worked out when the session is made, unless that is bounded."""
    return [
        *(node("Concat", [f"c{i}", f"c{i}"], [f"c{i + 1}"], axis=0) for i in range(times)),
        node("Identity", [f"c{times}"], ["more"]),
    ]


ONES = numpy_helper.from_array(np.ones(1000, np.float32), "c0")
HUNGRY: dict[str, Callable[[], onnx.ModelProto]] = {
    "ConstantOfShape": lambda: model(node("ConstantOfShape", ["s"], ["more"]), constants=[integers("s", FLOATS)]),
    "Expand": lambda: model(
        node("Expand", ["c0", "s"], ["more"]), constants=[ONES, integers("s", FLOATS // 1000, 1000)]
    ),
    "Expand of the window": lambda: model(
        node("Expand", ["start", "s"], ["more"]), constants=[integers("s", FLOATS // DIM, DIM)]
    ),
    "Tile": lambda: model(node("Tile", ["c0", "s"], ["more"]), constants=[ONES, integers("s", FLOATS // 1000)]),
    "Pad": lambda: model(node("Pad", ["c0", "s"], ["more"]), constants=[ONES, integers("s", 0, FLOATS)]),
    "Range": lambda: model(
        node("Range", ["a", "b", "a1"], ["r"]), node("Cast", ["r"], ["more"], to=1),
        constants=[numpy_helper.from_array(np.array(v, np.int64), n) for n, v in (("a", 0), ("b", FLOATS), ("a1", 1))],
    ),
    "Concat, again and again": lambda: model(*chain(25), constants=[ONES]),
}  # fmt: skip


@pytest.mark.parametrize("name", HUNGRY)
def test_a_graph_that_wants_100_gb_is_refused_without_taking_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_session, "FREE_BYTES", 64 << 20)
    monkeypatch.setattr(graph_session, "THREAD_BYTES", 0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Refused, match=r"wants more memory than|Tile output tensor would require more than"):
        session(HUNGRY[name]())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700_000  # kB


def test_the_bound_on_memory_is_each_session_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    wants_40_mb = model(node("Expand", ["start", "s"], ["more"]), constants=[integers("s", 1_250_000, DIM)])
    monkeypatch.setattr(graph_session, "THREAD_BYTES", 0)
    monkeypatch.setattr(graph_session, "FREE_BYTES", 20 << 20)
    with pytest.raises(Refused, match="wants more memory"):
        session(wants_40_mb)
    monkeypatch.setattr(graph_session, "FREE_BYTES", 200 << 20)
    roomy = session(wants_40_mb)
    monkeypatch.setattr(graph_session, "FREE_BYTES", 20 << 20)
    with pytest.raises(Refused, match="wants more memory"):
        session(wants_40_mb)
    assert roomy.run(np.zeros(WINDOW, np.float32), graph_session.run_options())[0].shape == (1, DIM)


def slow() -> onnx.ModelProto:
    """Products of 1200 x 1200, one after the other: each takes some ms, all of them minutes."""
    products = [node("MatMul", ["square", f"p{i}"], [f"p{i + 1}"]) for i in range(5000)]
    first = [node("Slice", ["waveform", "zero", "one", "one"], ["s"]), node("Expand", ["s", "size"], ["square"]),
             node("Identity", ["square"], ["p0"])]  # fmt: skip
    return model(*first, *products, node("Identity", ["p5000"], ["more"]), constants=[integers("size", 1200, 1200)])


def test_a_graph_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_session, "RUN_S", 0.2)
    started = time.monotonic()
    with pytest.raises(Refused, match="takes longer than a window may"):
        session(slow())
    assert time.monotonic() - started < 30


# --- as a checkpoint --------------------------------------------------------------------------------------------------


def checkpoint(folder: Path, graph: bytes) -> Path:
    """The shipped checkpoint with another graph, signed as it should be."""
    folder.mkdir()
    (folder / "model.safetensors").symlink_to(MODEL / "model.safetensors")
    (folder / "model.onnx").write_bytes(graph)
    config = json.loads((MODEL / "config.json").read_text())
    config["graph_sha256"] = hashlib.sha256(graph).hexdigest()
    config["features"] = config["features"] if graph == GRAPH else None
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("name", ["garbage", "loop", "data elsewhere", "another input", "no such operator"])
def test_a_checkpoint_with_such_a_graph_is_refused(name: str, tmp_path: Path) -> None:
    made = REFUSED[name][0]()
    folder = checkpoint(tmp_path / "m", made if isinstance(made, bytes) else made.SerializeToString())
    with pytest.raises(CheckpointError, match=r"m/model\.onnx: .*; use a checkpoint that synthprint wrote") as caught:
        load_extractor(folder)
    assert "\n" not in str(caught.value)


def test_the_graph_that_runs_is_the_one_that_was_checked(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "m", GRAPH)
    loaded = Checkpoint.load(folder)
    (folder / "model.onnx").write_bytes(loop().SerializeToString())  # in between
    with pytest.raises(CheckpointError, match=r"model\.onnx: is not the file that config\.json describes"):
        OnnxExtractor(loaded)


def test_a_graph_that_fails_at_a_later_window_is_named(tmp_path: Path) -> None:
    extractor = load_extractor(checkpoint(tmp_path / "m", GRAPH), threads=1)
    shipped = Checkpoint.load(MODEL)
    samples = shipped.window_samples
    assert extractor.embed_windows([np.zeros(samples, np.float32)]).shape == (1, shipped.dim)
    with pytest.raises(CheckpointError, match=r"m/model\.onnx: cannot be run: onnxruntime says"):
        extractor.embed_windows([np.zeros(samples - 1000, np.float32)])


def test_weights_of_a_stranger_are_looked_at_first(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint.folder, tmp_path / "m"))
    config = json.loads((folder / "config.json").read_text())

    def damaged(data: bytes | None = None, **backbone: object) -> Checkpoint:
        if data is not None:
            (folder / "model.safetensors").write_bytes(data)
        changed = {**config, "recipe": {**config["recipe"], "backbone": {**config["recipe"]["backbone"], **backbone}}}
        changed["digest"] = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        (folder / "config.json").write_text(json.dumps(changed))
        return Checkpoint.load(folder)

    for changed, told in (
        ({"evil": 1}, "unknown key 'evil'; the options of 'thin_resnet' are"),
        ({"widths": ["x"]}, r"widths\[0\] must be a whole number"),
        ({"widths": [4, 8, 8, 32]}, "size mismatch"),
        ({"name": "subprocess:Popen"}, "is no backbone"),
        ({"name": "nowhere"}, "no backbone is called 'nowhere'"),
    ):
        with pytest.raises(CheckpointError, match=told) as caught:
            load_backbone(damaged(**changed))
        assert "\n" not in str(caught.value)
    good = (folder / "model.safetensors").read_bytes()
    for data in (b"", good[:-1], b"\xff" * 100, (1 << 62).to_bytes(8, "little") + b"{}"):
        with pytest.raises(CheckpointError, match=r"model\.safetensors: "):
            load_backbone(damaged(data))
