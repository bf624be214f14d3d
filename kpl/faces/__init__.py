"""From captures to faces: find them, turn them upright, cut them, and keep them in a store.

build(captures, folder, recipe, ...) makes a FaceStore, load(folder) opens one.
"""

from kpl.faces import cutting, detect, geometry, recipes
from kpl.faces.assemble import build
from kpl.faces.store import COLUMNS, FaceStore, load

__all__ = ["COLUMNS", "FaceStore", "build", "cutting", "detect", "geometry", "load", "recipes"]
