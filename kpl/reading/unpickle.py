"""Reads a pickle of plain data and numeric numpy arrays, and runs none of its code.

A pickle is a program that may call anything it can name. Here it can name only what numpy's own pickles need, and
gets stand-ins for even those: numpy's real `__setstate__` trusts its input with raw memory. An array is built at
the end, from checked parts: a numeric dtype, a shape, and as many bytes as the two ask for.
"""

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from kpl.errors import BadInput


class _Dtype:
    """Stands for numpy.dtype: keeps its code and byte order."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        self.code = code

    def __setstate__(self, state: tuple) -> None:
        if state[2] is not None or state[3] is not None:
            raise ValueError("a structured dtype")
        self.code = {"<": "<", ">": ">"}.get(state[1], "=") + self.code.lstrip("<>=|")

    def real(self) -> np.dtype:
        dtype = np.dtype(self.code) if isinstance(self.code, str) else None
        if dtype is None or dtype.kind not in "biuf":
            raise ValueError(f"a dtype that is not numeric ({self.code!r})")
        return dtype


class _Array:
    """Stands for an array that `_reconstruct` has begun, filled in by its state."""

    def __init__(self) -> None:
        self.value: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, data = state
        if isinstance(data, str):  # Python 2's bytes
            data = data.encode("latin1")
        self.value = _array(data, dtype, shape, "F" if fortran else "C")


class _Ndarray:
    """Stands for the class numpy.ndarray, which `_reconstruct` gets as an argument."""


def _array(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    real = dtype.real()
    if not isinstance(data, (bytes, bytearray)) or len(data) != math.prod(shape) * real.itemsize:
        raise ValueError("an array whose bytes do not fit its shape")
    return np.frombuffer(bytes(data), real).reshape(shape, order=order).astype(real.newbyteorder("="), order="C")


def _reconstruct(cls: Any, shape: Any, code: Any) -> _Array:
    return _Array()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    array = _Array()
    array.value = _array(data, dtype, shape, order)
    return array


def _scalar(dtype: Any, data: Any) -> np.generic:
    return _array(data.encode("latin1") if isinstance(data, str) else data, dtype, (1,), "C")[0]


def _encode(text: str, encoding: str) -> bytes:
    """_codecs.encode, which old protocols use to carry bytes."""
    if encoding != "latin1":
        raise ValueError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """bytes(), which old protocols call for an empty array."""
    return b""


_KNOWN = {
    ("numpy", "ndarray"): _Ndarray,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
}
for _package in ("numpy.core", "numpy._core"):  # numpy 1 and 2
    _KNOWN |= {
        (f"{_package}.multiarray", "_reconstruct"): _reconstruct,
        (f"{_package}.multiarray", "scalar"): _scalar,
        (f"{_package}.numeric", "_frombuffer"): _from_buffer,
    }


# What a damaged pickle makes the unpickler raise: nearly anything.
_DAMAGE = (
    pickle.PickleError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file, encoding="latin1")
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise BadInput(
                f"{self.path} asks for {module}.{name}, which a table of numbers does not need, so nothing"
                " in it was run: use a file from a source you trust, a dict of numeric numpy arrays."
            )
        return _KNOWN[module, name]


def load_dict(path: str | Path) -> dict[str, Any]:
    """Read a pickled dict with text keys, whose values are numeric numpy arrays, scalars or plain Python data.

    Pickles of Python 2 and 3, of numpy 1 and 2, and of every protocol are read. Arrays come in native byte order, C
    order and writable. Raises BadInput if the file is missing, damaged, no such dict, holds an array of objects or
    anything else but numbers, or names any function or class that such data does not need; none of them is called.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            content = _Unpickler(file, path).load()
    except BadInput:
        raise
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}): check the path.") from None
    except _DAMAGE as error:
        raise BadInput(
            f"{path} is no pickle of numeric arrays ({error or type(error).__name__}): save it again as a dict of them."
        ) from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise BadInput(f"{path} does not hold a dict from sample names to arrays: save it again as one.")
    return {key: value.value if isinstance(value, _Array) else value for key, value in content.items()}
