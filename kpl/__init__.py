"""3D faces from three photographs: what the notebooks share, and one call for one's own pictures."""


def predict(left, middle, right, weights="released"):
    """The 106 landmarks (106, 3) of a face, and a spread for each, from three pictures: see kpl.face.predict.

    >>> face = kpl.predict("left.jpg", "middle.jpg", "right.jpg")   # doctest: +SKIP
    >>> face.landmarks, face.spread                                 # doctest: +SKIP
    """
    from kpl import face  # not at the top: it brings torch, and `import kpl` should be light

    return face.predict(left, middle, right, weights)
