"""What one process of the studio does: subjects, one after the other."""

import multiprocessing
import os
import threading
from multiprocessing.synchronize import Lock
from pathlib import Path

import cv2
import numpy as np
import warp as wp

from kpl.files import atomic
from kpl.studio import anatomy, render
from kpl.studio.portrait import Photographer

_photographer: Photographer | None = None


def start(lock: Lock, cache: Path, scale: float) -> None:
    """Get a fresh process ready. The first one builds the anatomy and compiles the kernels, the others find
    them."""
    global _photographer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with lock:
        _photographer = open_studio(cache, scale)


def open_studio(cache: Path, scale: float) -> Photographer:
    """A photographer for pictures of `scale`; anatomy and compiled kernels are kept in the folder `cache`."""
    cv2.setNumThreads(1)
    wp.config.kernel_cache_dir = str(cache / "warp")
    _init_warp()
    photographer = Photographer(anatomy.load(cache), scale)
    wp.load_module(render, device="cpu")
    return photographer


def make_subject(root: Path, number: int, seed: int, expressions: list[str], record: Path) -> None:
    """Write all pictures of one subject, then the record that says so, with everything known about them."""
    sitting = _photographer.sit(seed, number)
    portraits = [sitting.portray(expression) for expression in expressions]
    for expression, portrait in zip(expressions, portraits, strict=True):
        for view, picture in enumerate(portrait.pictures):
            path = root / f"{number:05d}" / expression / "Images" / str(view) / "t.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture)
    with atomic(record) as temporary:
        np.savez(
            temporary,
            **{
                name: np.stack([getattr(portrait, name) for portrait in portraits])
                for name in ("points", "points2d", "boxes", "intrinsics", "extrinsics")
            },
        )


def _init_warp() -> None:
    """Start Warp without its word on a missing GPU, which its library writes across the progress bar."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            wp.init()
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _end_with_parent() -> None:
    """A killed parent cannot stop its children: without this they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
