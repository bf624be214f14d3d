"""What a triangle of the scene belongs to; the renderer shades by it."""

from enum import IntEnum


class Part(IntEnum):
    """Left and right are as seen in the upright picture."""

    SKIN = 0
    LEFT_EYE = 1
    RIGHT_EYE = 2
    TEETH = 3
    TONGUE = 4
    LASHES = 5
    HAIR = 6
    CLOTHES = 7
    BAND = 8
    MOUTH = 9
    SOCKET = 10
    BODY = 11
