"""What a triangle of the scene belongs to; the renderer shades by it."""

from enum import IntEnum


class Part(IntEnum):
    """Left and right are as seen in the upright picture."""

    SKIN = 0
    LEFT_EYE = 1
    RIGHT_EYE = 2
    TEETH = 3
    TONGUE = 4
    HAIR = 5
    CLOTHES = 6
    BAND = 7
    MOUTH = 8
    SOCKET = 9
    BODY = 10
    LASHES = 11
    LOCK = 12
    FRAME = 13
    LENS = 14
    GARMENT = 15
