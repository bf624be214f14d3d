"""Reads a pickle of plain data and numeric numpy arrays, and runs none of its code.

A pickle is a program that may call anything it can name. Here it can name only what makes numpy's own arrays, which reads no
file and runs no code of the pickle's (Python's documentation, "Restricting Globals").
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy._core import multiarray, numeric

from kpl.errors import BadInput

_KNOWN = {"numpy.ndarray": np.ndarray, "numpy.dtype": np.dtype}
_KNOWN |= {f"numpy.{core}.multiarray._reconstruct": multiarray._reconstruct for core in ("core", "_core")}  # numpy 1, 2
_KNOWN |= {f"numpy.{core}.numeric._frombuffer": numeric._frombuffer for core in ("core", "_core")}  # protocol 5
_KNOWN |= {"_codecs.encode": lambda text, encoding: text.encode(encoding)}  # carries bytes in protocol 2

# What damaged files make their readers raise: nearly anything.
DAMAGE = (pickle.PickleError, ArithmeticError, AttributeError, EOFError, ImportError, LookupError, MemoryError, OSError)
DAMAGE += (RuntimeError, TypeError, ValueError)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}; nothing in it was run")
        return _KNOWN[f"{module}.{name}"]


def load_dict(path: Path) -> dict[str, Any]:
    """Read a pickled dict with text keys, whose values are numeric numpy arrays or plain Python data.

    Pickles of Python 2 and 3, and of numpy 1 and 2, are read. Arrays come in native byte order, C order and writable.
    Raises BadInput if the file is missing, damaged, no such dict, holds an array of anything but numbers, or names any
    function or class that such data does not need; none of them is called.
    """
    try:
        with open(path, "rb") as file:
            content = _Unpickler(file, encoding="latin1").load()  # of Python 2's text and bytes
        if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
            raise TypeError("it does not hold a dict with text keys")
        return {key: _plain(value) if isinstance(value, np.ndarray) else value for key, value in content.items()}
    except DAMAGE as error:
        said = f"{path} cannot be read as a pickled dict of numeric arrays ({error or type(error).__name__})"
        raise BadInput(f"{said}: save it again, or get it from a source that you trust.") from None


def _plain(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise TypeError(f"it holds an array of other things than numbers, {array.dtype}")
    return np.array(array, array.dtype.newbyteorder("="), order="C")
