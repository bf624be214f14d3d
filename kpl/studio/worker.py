"""What one process of the studio does: subjects, one after the other."""

import multiprocessing
import os
import shutil
import threading
from dataclasses import replace
from multiprocessing.synchronize import Lock
from pathlib import Path

import cv2
import numpy as np
import warp as wp

from kpl.errors import BadInput
from kpl.faces.geometry import Square, moved
from kpl.studio.body import loader
from kpl.studio.dataset import crops, noise, records
from kpl.studio.dataset.settings import Settings
from kpl.studio.picture import camera, devices
from kpl.studio.portrait import Photographer, Portrait, Sitting

_photographer: Photographer | None = None


def start(lock: Lock, cache: Path, scale: float, device: str, rig: str) -> None:
    """Get a fresh process ready. The first one builds the anatomy and compiles the kernels, the others find
    them."""
    global _photographer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with lock:
        _photographer = open_studio(cache, scale, device, rig)


def open_studio(cache: Path, scale: float, device: str = "cpu", rig: str = "competition") -> Photographer:
    """A photographer for pictures of `scale`; anatomy and compiled kernels are kept in the folder `cache`. `device`:
    Warp's name of where the kernels run."""
    cv2.setNumThreads(1)
    wp.config.kernel_cache_dir = str(cache / "warp")
    devices.start_warp()
    photographer = Photographer(loader.load(cache), scale, device, rig)
    _load_kernels(cache / "warp", device)
    return photographer


def make_subject(root: Path, number: int, settings: Settings) -> None:
    """Write all pictures of one subject, then the record that says so, with everything known about them."""
    expressions = settings.expressions_of(number)
    sitting = _photographer.sit(settings.seed, number)
    if settings.crop_size:
        squares, portraits = zip(
            *(crop_portrait(sitting, name, settings.crop_size) for name in expressions), strict=True
        )
    else:
        portraits = [sitting.portray(name) for name in expressions]
    if sigma := settings.noise_of(number):
        portraits = [
            _jittered(portrait, sigma, sitting.subject.generator("scan", name))
            for name, portrait in zip(expressions, portraits, strict=True)
        ]
    known = {name: np.stack([getattr(portrait, name) for portrait in portraits]) for name in records.KNOWN}
    if settings.crop_size:
        del known["boxes"]  # of the crops, not of the frames
        pictures = [picture for portrait in portraits for picture in portrait.pictures]
        records.write_crops(root, number, pictures, known | {"squares": np.array(squares)})
    else:
        files = {
            f"{name}/Images/{view}/t.jpg": picture
            for name, portrait in zip(expressions, portraits, strict=True)
            for view, picture in enumerate(portrait.pictures)
        }
        records.write_frames(root, number, files, known)


def crop_portrait(sitting: Sitting, expression: str, size: int) -> tuple[list[tuple], Portrait]:
    """The squares (x, y, side) of a sample's crops, and its portrait in the full frames' coordinates."""
    squares: list[Square] = []

    def windows(points: np.ndarray) -> list[camera.Window]:
        squares[:] = crops.draw_squares(sitting.subject.generator("window", expression), points)
        return [crops.window(square, size) for square in squares]

    portrait = sitting.portray(expression, windows)
    there = np.stack([crops.to_frame(square, size) for square in squares])
    points = np.stack([moved(to_frame[:2], view) for to_frame, view in zip(there, portrait.points2d, strict=True)])
    seen = replace(portrait, points2d=points, intrinsics=there @ portrait.intrinsics)
    return [tuple(square) for square in squares], seen


def _jittered(portrait: Portrait, sigma: float, rng: np.random.Generator) -> Portrait:
    """The portrait with imperfect truth: in 3D, and in 2D where its cameras see that."""
    points = noise.jitter(portrait.points, sigma, rng)
    return replace(portrait, points=points, points2d=noise.project(points, portrait.intrinsics, portrait.extrinsics))


def _load_kernels(folder: Path, device: str) -> None:
    """Compile all kernels, or load them from `folder`; from a damaged one they are compiled again."""
    try:
        wp.load_module("kpl.studio", device=device, recursive=True)
    except Exception:  # noqa: BLE001 (Warp has no class of its own for it)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            wp.load_module("kpl.studio", device=device, recursive=True)
        except Exception as error:
            raise BadInput(f"Warp cannot compile the kernels into {folder} ({error}): delete that folder.") from error


def _end_with_parent() -> None:
    """A killed parent cannot stop its children: without this they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
