"""Reads the official text all at once where it is written as officially as can be.

A submission of 1,900 samples holds 600,000 numbers; Python needs half a second to split and convert them. A file whose
numbers all look like `-0.123456` gives them to a few operations on its bytes.
"""

import numpy as np

from kpl.landmarks import COUNT

_DECIMALS = 6
_SEPARATORS = np.array([ord("\n"), *[ord(" "), ord(" "), ord("\n")] * COUNT], dtype=np.uint8)  # of one sample's block
_LENGTH = 2 + _DECIMALS  # of a number without its sign: one digit, a point, six digits


def parse(data: bytes) -> tuple[list[str], np.ndarray] | None:
    """Names (N) and shapes (N, 106, 3) float64 of a file's bytes; None if anything in it is written in another way.

    The numbers are those that float() makes of the text, to the last bit: a whole number of millionths is divided once.
    """
    raw = np.frombuffer(data, dtype=np.uint8)
    separators = np.flatnonzero(raw <= ord(" "))
    if not len(separators) or len(separators) % len(_SEPARATORS) or separators[-1] != len(raw) - 1:
        return None
    separators = separators.reshape(-1, len(_SEPARATORS))
    if (raw[separators] != _SEPARATORS).any():
        return None
    ends, starts = separators[:, 1:], separators[:, :-1] + 1  # (N, 318) of the numbers
    negative = ends - starts == _LENGTH + 1
    if (raw[starts[negative]] != ord("-")).any() or (ends[~negative] - starts[~negative] != _LENGTH).any():
        return None
    if (raw[ends - _DECIMALS - 1] != ord(".")).any():
        return None
    millionths = np.zeros(ends.shape, dtype=np.int32)
    for place in [_LENGTH, *range(_DECIMALS, 0, -1)]:  # counted from the number's end
        digit = raw[ends - place] - np.uint8(ord("0"))  # what is no digit wraps around, beyond 9
        if (digit > 9).any():
            return None
        millionths *= 10
        millionths += digit
    points = np.where(negative, -millionths, millionths) / 10**_DECIMALS
    begins = np.concatenate([[0], separators[:-1, -1] + 1])
    try:
        names = [data[begin:end].decode() for begin, end in zip(begins.tolist(), separators[:, 0].tolist())]
    except UnicodeDecodeError:
        return None
    return (names, points.reshape(-1, COUNT, 3)) if all(names) else None
