"""An ONNX graph from a stranger, looked through before onnxruntime sees it; `graph_session` runs it with limits.

A graph is a program. What may run here is a flat list of operators of ONNX's own domain, from one input to the outputs
that are asked of it: no graphs within (so no loop, no branch), no functions, no operators of others, no data outside
the file, nothing random; and its values are tensors of numbers: texts and lists take memory outside of any bound. So it
does a known number of steps, and the same for the same clip. Its bytes are looked through here, field by field of the
protobuf wire format, without building anything; the same bytes go to onnxruntime.

docs/files-from-strangers.md says what this protects, and what it does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from synthprint.reading.schemas import Refused, short

INPUT, OUTPUT, FEATURES = "waveform", "embedding", "features"
DOMAINS = (b"", b"ai.onnx")
RANDOM = (b"RandomNormal", b"RandomNormalLike", b"RandomUniform", b"RandomUniformLike", b"Multinomial", b"Bernoulli")
# Operators on texts, and on lists and options of tensors: by how their names start.
NO_NUMBERS = (
    b"String", b"RegexFullMatch", b"TfIdfVectorizer", b"Sequence", b"SplitToSequence", b"ConcatFromSequence",
    b"Optional",
)  # fmt: skip
TEXTS = "has texts among its values; only tensors of numbers are read here"
TEXT = 8  # a tensor's data type, of TensorProto
MOST_NODES = 20_000  # of a wav2vec 2.0 of full size some 5,000
MOST_GRAPH_BYTES = (2 << 30) - 1  # protobuf's own bound
MOST_FIELDS = 2_000_000  # looked at in one graph: a second or two

# Field numbers of onnx.proto; https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
_GRAPH, _TRAINING, _FUNCTIONS = 7, 20, 25  # of ModelProto
_NODE, _INITIALIZER, _INPUT, _OUTPUT, _SPARSE = 1, 5, 11, 12, 15  # of GraphProto
_NODE_INPUT, _NODE_OUTPUT, _OP, _ATTRIBUTE, _DOMAIN = 1, 2, 4, 5, 7  # of NodeProto
_ATTRIBUTE_NAME, _INTEGER = 1, 3  # of AttributeProto
_TENSOR, _SUBGRAPH, _TENSORS, _SUBGRAPHS, _SPARSES = 5, 6, 10, 11, (22, 23)  # of AttributeProto
_KIND, _TEXTS, _TENSOR_NAME, _EXTERNAL, _LOCATION = 2, 6, 8, 13, 14  # of TensorProto
_VALUE_NAME = 1  # of ValueInfoProto
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


@dataclass
class Outline:
    """What a graph consists of.

    Attributes:
        inputs: their names.
        outputs: their names.
        constants: names of values that do not depend on the input.
        nodes: number of operators.
        folded: number of operators that may give only constants.
    """

    inputs: list[bytes] = field(default_factory=list)
    outputs: list[bytes] = field(default_factory=list)
    constants: set[bytes] = field(default_factory=set)
    nodes: int = 0
    folded: int = 0


class _Wire:
    """Reads fields of the protobuf wire format out of bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._left = MOST_FIELDS

    def fields(self, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """The fields of a message: number, wire type, and where its bytes start and end (of a varint, its value twice).

        Raises:
            Refused: it is no message.
        """
        while start < end:
            self._left -= 1
            if self._left < 0:
                raise Refused(f"has more than {MOST_FIELDS:,} fields")
            key, start = self._varint(start, end)
            wire = key & 7
            if wire == _VARINT:
                value, start = self._varint(start, end)
                yield key >> 3, wire, value, value
                continue
            if wire == _BYTES:
                length, start = self._varint(start, end)
            elif wire in (_FIXED64, _FIXED32):
                length = 8 if wire == _FIXED64 else 4
            else:
                raise Refused(f"is no ONNX graph: byte {start:,} is of no kind that the format has")
            if key >> 3 == 0 or start + length > end:
                raise Refused(f"is no ONNX graph, or is cut off (byte {start:,})")
            yield key >> 3, wire, start, start + length
            start += length

    def messages(self, start: int, end: int, wanted: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
        """Of the fields of a message those of the `wanted` numbers, which hold bytes: number, start and end."""
        for number, wire, first, last in self.fields(start, end):
            if number in wanted:
                if wire != _BYTES:
                    raise Refused(f"is no ONNX graph: its field {number} is of another kind")
                yield number, first, last

    def text(self, start: int, end: int) -> bytes:
        return self.data[start:end]

    def _varint(self, start: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if start >= end:
                break
            byte = self.data[start]
            start += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, start
        raise Refused(f"is no ONNX graph, or is cut off (byte {start:,})")


def outline(data: bytes, inputs: Sequence[str] = (INPUT,), outputs: Sequence[str] = (OUTPUT,)) -> Outline:
    """Look a graph through.

    Args:
        inputs, outputs: names of those that it must have, in order.

    Raises:
        Refused: it is no ONNX graph, or not of the kind that may run here.
    """
    wire, seen, graphs = _Wire(data), Outline(), 0
    for number, start, end in wire.messages(0, len(data), (_GRAPH, _TRAINING, _FUNCTIONS)):
        if number != _GRAPH:
            raise Refused(f"has {'functions' if number == _FUNCTIONS else 'steps of training'}; a flat graph is wanted")
        graphs += 1
        _look_through(wire, start, end, seen)
    if not graphs:
        raise Refused("is no ONNX graph")
    for what, names, wanted in (("input", seen.inputs, inputs), ("output", seen.outputs, outputs)):
        if names != [name.encode() for name in wanted]:
            actual = ", ".join(short(_shown(name)) for name in names[:3]) or "none"
            count = f"one {what}" if len(wanted) == 1 else f"{len(wanted)} {what}s"
            raise Refused(f"must have {count}, {', '.join(map(repr, wanted))}; it has: {actual}")
    return seen


def _look_through(wire: _Wire, start: int, end: int, seen: Outline) -> None:
    nodes = []
    for number, first, last in wire.messages(start, end, (_NODE, _INITIALIZER, _INPUT, _OUTPUT, _SPARSE)):
        if number == _NODE:
            nodes.append((first, last))  # looked at once the constants are known, which stand behind them
        elif number == _INITIALIZER:
            seen.constants.add(_look_at_tensor(wire, first, last))
        elif number == _SPARSE:
            raise Refused("has sparse tensors, which are not read here")
        else:
            name = [wire.text(*at) for _, *at in wire.messages(first, last, (_VALUE_NAME,))]
            (seen.inputs if number == _INPUT else seen.outputs).append(name[-1] if name else b"")
    for first, last in nodes:
        _look_at_node(wire, first, last, seen)


def _look_at_node(wire: _Wire, start: int, end: int, seen: Outline) -> None:
    inputs: list[bytes] = []
    outputs: list[bytes] = []
    ops: list[bytes] = []
    wanted = (_NODE_INPUT, _NODE_OUTPUT, _OP, _ATTRIBUTE, _DOMAIN)
    for number, first, last in wire.messages(start, end, wanted):
        if number == _ATTRIBUTE:
            _look_at_attribute(wire, first, last, ops)
        elif number == _DOMAIN:
            if (domain := wire.text(first, last)) not in DOMAINS:
                raise Refused(f"has the operator {_operator(ops)} of domain {short(_shown(domain))}: not ONNX's own")
        else:
            {_NODE_INPUT: inputs, _NODE_OUTPUT: outputs, _OP: ops}[number].append(wire.text(first, last))
    if any(op in RANDOM for op in ops):
        raise Refused(f"has the operator {_operator(ops)}; an answer must not depend on chance")
    if any(op.startswith(NO_NUMBERS) for op in ops):
        raise Refused(f"has the operator {_operator(ops)}; only tensors of numbers are read here")
    seen.nodes += 1
    if seen.nodes > MOST_NODES:
        raise Refused(f"has more than {MOST_NODES:,} operators")
    if ops[-1:] in ([b"Shape"], [b"Size"]) or all(name in seen.constants for name in inputs if name):
        seen.constants.update(outputs)
        seen.folded += 1


def _look_at_attribute(wire: _Wire, start: int, end: int, ops: list[bytes]) -> None:
    wanted = (_TENSOR, _SUBGRAPH, _TENSORS, _SUBGRAPHS, *_SPARSES)
    names, integers = set(), set()
    for number, kind, first, last in wire.fields(start, end):
        if number == _ATTRIBUTE_NAME and kind == _BYTES:
            names.add(wire.text(first, last))
        if number == _INTEGER and kind == _VARINT:
            integers.add(_int32(first))
        if number not in wanted:
            continue
        if kind != _BYTES:
            raise Refused(f"is no ONNX graph: its field {number} is of another kind")
        if number in (_SUBGRAPH, _SUBGRAPHS):
            raise Refused(f"has a graph within the operator {_operator(ops)}: loops and branches do not run here")
        if number in _SPARSES:
            raise Refused("has sparse tensors, which are not read here")
        _look_at_tensor(wire, first, last)
    if names & {b"value_string", b"value_strings"} or (b"to" in names and TEXT in integers):
        raise Refused(TEXTS)


def _look_at_tensor(wire: _Wire, start: int, end: int) -> bytes:
    """The tensor's name; its data must be in the file."""
    name = b""
    for number, kind, first, last in wire.fields(start, end):
        if number == _EXTERNAL or (number == _LOCATION and first != 0):
            raise Refused("has data outside the graph's own file; export it as one file")
        if number == _TEXTS or (number == _KIND and kind == _VARINT and _int32(first) == TEXT):
            raise Refused(TEXTS)
        if number == _TENSOR_NAME and kind == _BYTES:
            name = wire.text(first, last)
    return name


def _int32(value: int) -> int:
    """What is left of a varint in a field of 32 bits."""
    return value & 0xFFFFFFFF


def _operator(ops: list[bytes]) -> str:
    return short(_shown(ops[-1])) if ops else "(unnamed)"


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "replace")
