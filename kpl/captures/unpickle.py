"""Reads a pickle of plain data and numeric numpy arrays, and runs none of its code.

A pickle is a program that may call anything it can name. Here it can name only what numpy's own pickles need, and
whatever it names is the same stand-in, which does nothing but keep what it is given. The arrays are made afterwards
from checked parts: a numeric dtype, a shape, and as many bytes as the two ask for.
"""

import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from kpl.errors import BadInput

_KNOWN = ("numpy.ndarray", "numpy.dtype", "_codecs.encode")  # the last carries bytes in protocol 2
_KNOWN += ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")  # in numpy 1 and 2
_KNOWN += ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")  # protocol 5

# What damaged files make their readers raise: nearly anything.
DAMAGE = (pickle.PickleError, ArithmeticError, AttributeError, EOFError, ImportError, LookupError, MemoryError, OSError)
DAMAGE += (RuntimeError, TypeError, ValueError)


class _Part:
    """Stands for all that a pickle calls."""

    def __init__(self, *given: Any) -> None:
        self.given, self.state = given, ()

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}; nothing in it was run")
        return _Part


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
        return {key: _array(value) if isinstance(value, _Part) else value for key, value in content.items()}
    except DAMAGE as error:
        raise BadInput(
            f"{path} cannot be read as a pickled dict of numeric arrays ({error or type(error).__name__}):"
            " save it again, or get it from a source that you trust."
        ) from None


def _array(part: _Part) -> np.ndarray:
    if part.state:
        _, shape, dtype, fortran, data = part.state
        order = "F" if fortran else "C"
    else:  # _frombuffer's arguments
        data, dtype, shape, order = part.given
    data = data.given[0] if isinstance(data, _Part) else data
    data = data.encode("latin1") if isinstance(data, str) else data
    code = dtype.state[1].replace("|", "=") + dtype.given[0]
    if not re.fullmatch("[<>=][biuf][0-9]+", code) or not isinstance(data, bytes | bytearray):
        raise TypeError(f"it holds an array of other things than numbers, {code}")
    real = np.dtype(code)
    if len(data) != math.prod(shape) * real.itemsize:
        raise ValueError("it holds an array whose bytes do not fit its shape")
    return np.frombuffer(data, real).reshape(shape, order=order).astype(real.newbyteorder("="), order="C")
