"""Which Python compiled a function, told from its marshalled bytes; nothing is run.

Model files hold the byte code of Lambda layers and do not say which Python wrote it.
Every Python numbers its instructions anew, and one that runs the instructions of
another ends the process. So they are read here without making a code object: the fields
of a code object tell 3.11 and newer from older ones, and the instructions tell these
apart: the opcode of `RESUME`, with which every code object begins, and the inline
caches that follow some instructions
(https://docs.python.org/3/library/dis.html, `Lib/opcode.py` and `Python/marshal.c` of
each release).
"""

from __future__ import annotations

import binascii
import codecs
import marshal
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from cnnviz.errors import ModelError
from cnnviz.loading.configurations import LAMBDA_FUNCTIONS, nodes
from cnnviz.loading.identify import ModelFile
from cnnviz.loading.marshalled import OLD, Code, unmarshalled

_HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The version of the Python that runs."""


class _CodeOrigin(NamedTuple):
    """Where byte code comes from.

    Attributes:
        pythons: The versions that may have compiled it; empty for ones unknown here.
        is_same: Whether it means the same to all of them.
    """

    pythons: tuple[str, ...]
    is_same: bool


def check_byte_code(file: ModelFile) -> None:
    """Refuses byte code that another Python has compiled, before anything of it runs.

    Args:
        file: The model file, as Keras will read it.

    Raises:
        ModelError: If a Lambda layer's code is damaged, or is not of this Python.
    """
    for layer, text in _byte_codes(file):
        data = _decoded(text)
        try:
            pythons, is_same = _origin(data)
        except ValueError:
            raise _refused(file, layer, "is damaged", ()) from None
        if _HERE in pythons and is_same:
            continue
        is_unclear = _HERE in pythons or (not pythons and _HERE not in _INSTRUCTIONS)
        if not is_unclear or not _survives(data):
            others = tuple(python for python in pythons if python != _HERE)
            wrote = f"Python {' or '.join(others)}" if others else "another Python"
            told = (
                f"was compiled by {wrote}; here is Python {_HERE}, which cannot run it"
            )
            raise _refused(file, layer, told, others)


def _refused(
    file: ModelFile, layer: str, told: str, pythons: tuple[str, ...]
) -> ModelError:
    where = "Python code in a layer that is no Lambda"
    if layer:
        where = f"the Python code in Lambda layer {layer}"
    hint = "Save the model with a function that has a name, and give that."
    if layer and file.kind != "savedmodel":  # of which no configuration is changed
        hint = (
            f"Give a function in its place, by the layer's name: "
            f"custom_objects={{'{layer}': ...}}."
        )
    if usable := [python for python in pythons if python in _INSTRUCTIONS]:
        hint += f" Or run cnnviz with Python {usable[-1]}."
    return ModelError(f"{file.path}: {where} {told}", hint=hint)


def _byte_codes(file: ModelFile) -> Iterator[tuple[str, str]]:
    """The byte code in a model file, as text, each with the name of its Lambda layer.

    Keras writes `{"class_name": "__lambda__", "config": {"code": ...}}` into archives,
    and `[code, defaults, closure]` into HDF5 files, which SavedModels call a tuple. In
    other layers than Lambda, which have no name here, Keras 3 writes the former.
    """
    of_lambdas = set()
    for node in nodes(file.configs):
        config = node.get("config")
        if node.get("class_name") == "Lambda" and isinstance(config, dict):
            for key in LAMBDA_FUNCTIONS:
                value = config.get(key)
                kind = config.get(f"{key}_type", "lambda" if key == "function" else "")
                text = _object_code(value)
                if text is None and kind == "lambda":
                    text = _list_code(value)
                if text is not None:
                    of_lambdas.add(text)
                    yield str(config.get("name") or "lambda"), text
    for node in nodes(file.configs):
        text = _object_code(node)
        if text is not None and text not in of_lambdas:
            yield "", text


def _object_code(value: Any) -> str | None:
    if not isinstance(value, dict) or value.get("class_name") != "__lambda__":
        return None
    config = value.get("config")
    code = config.get("code") if isinstance(config, dict) else None
    return code if isinstance(code, str) else None


def _list_code(value: Any) -> str | None:
    if isinstance(value, dict) and value.get("class_name") == "__tuple__":
        value = value.get("items")
    code = value[0] if isinstance(value, list) and value else None
    return code if isinstance(code, str) else None


def _decoded(text: str) -> bytes:
    """The marshalled function that a configuration holds as text.

    Keras 2 and 3 write base64, Keras 1 wrote the bytes as characters: those of a code
    object, the letter c, with or without its highest bit.
    """
    if text[:1] in ("c", "\xe3"):
        return text.encode("raw_unicode_escape")
    try:
        return codecs.decode(text.encode("ascii"), "base64")
    except (UnicodeEncodeError, binascii.Error):
        return text.encode("raw_unicode_escape")


def _origin(data: bytes) -> _CodeOrigin:
    """Finds out which Python compiled a marshalled function.

    Args:
        data: What `marshal.dumps(function.__code__)` has returned.

    Raises:
        ValueError: If no Python writes such bytes.
    """
    codes = unmarshalled(data)
    layout = codes[0].layout
    if layout.pythons:
        if layout.pythons == OLD and all(map(_has_full_line_table, codes)):
            return _CodeOrigin(("3.10",), True)
        return _CodeOrigin(layout.pythons, True)
    read = {
        python: [_operations(code.instructions, table) for code in codes]
        for python, table in _INSTRUCTIONS.items()
    }
    fitting = {python: read for python, read in read.items() if None not in read}
    ambiguous = {
        operation
        for operations in fitting.values()
        for found in operations
        for operation in found or ()
    } & _RENUMBERED
    return _CodeOrigin(tuple(fitting), len(fitting) == 1 or not ambiguous)


def _has_full_line_table(code: Code) -> bool:
    """Whether a line table covers all instructions, as those of Python 3.10 do.

    Before, it ended where the last line begins.
    """
    return sum(code.lines[::2]) == len(code.instructions)


class _Instructions(NamedTuple):
    """What tells the instructions of one Python from those of its neighbors.

    Attributes:
        opening: Operations that may stand before the first `RESUME`.
        resume: The opcode of `RESUME`.
        extended: The opcode of `EXTENDED_ARG`, which lengthens the next argument.
        caches: How many cache entries follow an operation.
        absent: Operations that a Python with the same `RESUME` has and this one lacks.
    """

    opening: frozenset[int]
    resume: int
    extended: int
    caches: dict[int, int]
    absent: frozenset[int]


_INSTRUCTIONS = {
    "3.11": _Instructions(
        opening=frozenset((1, 75, 135, 149)),
        resume=151,
        extended=144,
        caches={
            25: 4, 60: 1, 92: 1, 95: 4, 106: 4, 107: 2, 116: 5, 122: 1, 160: 10, 166: 1,
            171: 4,
        },
        absent=frozenset((3, 4, 5, 17, 26, 27, 55, 121, 127, 141, 143, 150)),
    ),
    "3.12": _Instructions(
        opening=frozenset((1, 75, 135, 149)),
        resume=151,
        extended=144,
        caches={
            25: 1, 60: 1, 92: 1, 93: 1, 95: 4, 106: 9, 107: 1, 116: 4, 122: 1, 123: 1,
            141: 1, 171: 3,
        },
        absent=frozenset((10, 70, 82, 84, 86, 88, 111, 112, 148, 160, 166)),
    ),
    "3.13": _Instructions(
        opening=frozenset((32, 35, 62, 94)),
        resume=149,
        extended=71,
        caches={
            5: 1, 39: 1, 40: 3, 45: 1, 53: 3, 58: 1, 59: 1, 72: 1, 77: 1, 82: 9, 91: 4,
            93: 1, 97: 1, 98: 1, 99: 1, 100: 1, 104: 1, 108: 4, 117: 1,
        },
        absent=frozenset(),
    ),
}  # fmt: skip

# Neither absent nor cached, yet another operation in 3.12 than in 3.11: loops that end
# in a condition there, calls of intrinsics here.
_RENUMBERED = frozenset((87, 173, 174, 175, 176))

_PATIENCE = 180  # seconds, in which TensorFlow starts also on a busy machine


def _operations(instructions: bytes, table: _Instructions) -> list[int] | None:
    """The operations of a code object as one Python reads them; None if it cannot."""
    found = []
    is_open = True
    units = list(zip(instructions[::2], instructions[1::2], strict=False))
    at = 0
    while at < len(units):
        operation, argument = units[at]
        at += 1
        if operation == 0 or operation in table.absent:  # 0: a cache of nothing
            return None
        if is_open and operation == table.resume and argument == 0:
            is_open = False
        elif is_open and operation not in (*table.opening, table.extended):
            return None
        caches = table.caches.get(operation, 0)
        if units[at : at + caches] != [(0, 0)] * caches:
            return None
        at += caches
        found.append(operation)
    return None if is_open else found


def _survives(data: bytes) -> bool:
    """Whether a process of its own that runs byte code comes to a good end."""
    program = f"from {__name__} import _try; _try()"
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            input=data,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _try() -> None:
    """Calls the function on standard input with tensors of every rank.

    That it refuses most of them does not matter. Instructions of another Python end the
    process, or raise SystemError.
    """
    code = marshal.loads(sys.stdin.buffer.read())

    import tensorflow as tf

    cells = tuple(types.CellType(0) for _ in code.co_freevars)
    function: Callable[..., Any] = types.FunctionType(
        code, {"tf": tf, "__builtins__": __builtins__}, None, None, cells
    )
    for rank in range(6):
        try:
            function(*[tf.zeros([1] * rank)] * code.co_argcount)
        except SystemError:
            raise
        except Exception:  # noqa: BLE001 - of the function's own kind
            continue
