"""3D faces from three photographs: what the notebooks share, and one call for one's own pictures.

`import kpl` is light; each room (kpl.faces, kpl.train, ...) is loaded when it is first used.

>>> import kpl                                                  # doctest: +SKIP
>>> face = kpl.predict("left.jpg", "middle.jpg", "right.jpg")   # doctest: +SKIP
>>> face.landmarks, face.spread                                 # doctest: +SKIP
"""

import importlib
import pkgutil
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    if name not in {room.name for room in pkgutil.iter_modules(__path__)}:
        raise AttributeError(f"kpl has no room {name!r}")
    return importlib.import_module(f"kpl.{name}")
