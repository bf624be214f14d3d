"""One sample: three lying pictures of one subject with one expression, with everything known about them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from kpl.studio import camera, garments, hair, head, people, scenery, skin, wardrobe
from kpl.studio.anatomy import Anatomy
from kpl.studio.camera import Window
from kpl.studio.geometry import rotation
from kpl.studio.render import Stage

_NECK = np.array([0.0, -0.9, 0.2])  # the pivot of head poses, from between the eyes (dm)


@dataclass(frozen=True)
class Portrait:
    """pictures: three lying JPEG files (bytes); boxes (3, 4) int, lying pixels; points (106, 3) in the
    canonical frame; points2d (3, 106, 2) lying pixels; intrinsics (3, 3, 3) and extrinsics (3, 3, 4):
    canonical frame to lying pixels."""

    pictures: list[bytes]
    boxes: np.ndarray
    points: np.ndarray
    points2d: np.ndarray
    intrinsics: np.ndarray
    extrinsics: np.ndarray


class Photographer:
    """Makes portraits; holds what all subjects share: the anatomy, the canvas and the sheets of foil."""

    def __init__(self, anatomy: Anatomy, scale: float):
        self.anatomy = anatomy
        self.canvas = skin.Canvas(anatomy)
        self.width, self.height = camera.frame_size(scale)

    @cached_property
    def foils(self) -> list[np.ndarray]:
        """The sheets of foil that backgrounds are cut from."""
        return [scenery.foil(number) for number in range(scenery.FOIL_COUNT)]

    def sit(self, seed: int, number: int) -> "Sitting":
        """Subject `number` comes in and sits down before the cameras."""
        return Sitting(self, people.draw_subject(seed, number, self.anatomy.label_list))


class Sitting:
    """One subject's session: skin, clothes and cameras stay, expressions come and go."""

    def __init__(self, photographer: Photographer, subject: people.Subject):
        self._photographer, self.subject = photographer, subject
        anatomy = photographer.anatomy
        self._rest = head.rest_vertices(anatomy, subject)
        neutral = head.shape_head(anatomy, subject, self._rest, {})
        self._eyes_at = neutral.eye_centers.mean(axis=0) * [1, 1, 0]
        self._cameras = camera.draw_rig(subject, neutral.landmarks, photographer.width)
        paint, outfit = skin.paint(photographer.canvas, subject), scenery.draw_outfit(subject)
        style = hair.draw_style(subject)
        garment = garments.draw_garment(subject)
        outfit = wardrobe.match(outfit, style, garment)
        self._worn = wardrobe.dress(anatomy, subject, style, outfit, garment, self._rest, neutral)
        noise_seed = int(subject.generator("kernel").integers(1 << 30))
        self._stage = Stage(anatomy, paint, outfit, style, self._worn, noise_seed)

    def portray(self, expression: str, windows: Callable[[np.ndarray], list[Window]] | None = None) -> Portrait:
        """The sample of one expression (a key of people.EXPRESSIONS).

        Only a window of each view is made where `windows` is given: it is handed the landmarks (3, 106, 2) in the
        upright full frames' pixels and says the three windows. The portrait is then of these: pictures, boxes, 2D
        landmarks and cameras are those of the windows' own (lying) pictures.
        """
        studio, subject = self._photographer, self.subject
        actions = people.draw_expression(subject, expression, studio.anatomy.label_list)
        still = head.shape_head(studio.anatomy, subject, self._rest, actions)
        turn, shift = self._pose(expression)
        pivot = self._eyes_at + _NECK
        posed = still.wearing(self._worn).posed(turn, pivot, shift)
        light = scenery.draw_light(subject, expression)
        self._stage.place(posed, light, seed=int(subject.generator("kernel", expression).integers(1 << 30)))
        behind, sensor = subject.generator("background", expression), subject.generator("sensor", expression)
        wall = scenery.draw_wall(behind)
        frame = (studio.width, studio.height)
        whole = [Window(0, 0, 1, *frame)] * 3
        if windows is not None:
            whole = windows(np.stack([lens.project(posed.landmarks) for lens in self._cameras]))
        cameras = [lens.window(window) for lens, window in zip(self._cameras, whole, strict=True)]
        pictures, boxes, flat = [], [], []
        for lens, window in zip(cameras, whole, strict=True):
            upright = lens.project(posed.landmarks)
            backdrop = scenery.background(behind, studio.foils, wall, frame, window)
            picture = self._stage.render(lens, backdrop * light.exposure)
            pictures.append(develop(picture, sensor))
            flat.append(camera.lay_down(upright, window.width))
            boxes.append(camera.face_box(flat[-1], sensor))
        scale, tilt, move = head.canonical_transform(still.landmarks)
        # canonical -> head without pose -> studio
        back = (1 / scale, turn @ tilt.T, turn @ (-tilt.T @ move / scale - pivot) + pivot + shift)
        matrices = [camera.projection(lens, back, window.width) for lens, window in zip(cameras, whole, strict=True)]
        intrinsics, extrinsics = (np.stack(parts) for parts in zip(*matrices, strict=True))
        return Portrait(
            pictures, np.stack(boxes), head.to_canonical(still.landmarks), np.stack(flat), intrinsics, extrinsics
        )

    def _pose(self, expression: str) -> tuple[np.ndarray, np.ndarray]:
        """How the head is turned, and where the subject sits (the same place in all expressions, nearly)."""
        place = self.subject.generator("pose").normal(0, [0.22, 0.22, 0.15])
        rng = self.subject.generator("pose", expression)
        return rotation(*rng.normal(0, [5.0, 5.0, 3.0])), place + rng.normal(0, [0.08, 0.08, 0.08])


def develop(picture: np.ndarray, rng: np.random.Generator) -> bytes:
    """A sensor's and a JPEG's view of linear light (H, W, 3) RGB: white balance, blur, tone, noise; laid on
    its side."""
    height, width = picture.shape[:2]
    picture = picture * (rng.uniform(0.85, 1.2) * (1 + rng.normal(0, 0.035, 3))).astype(np.float32)
    if rng.random() < 0.7:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.7))
    picture = picture * 1.25 / (1 + picture * 0.25)
    picture = cv2.pow(np.clip(picture, 0, 1), 1 / 2.2)
    picture = (picture - 0.5) * np.float32(rng.uniform(0.9, 1.15)) + 0.5
    strength = np.float32(rng.uniform(0.004, 0.02))
    picture += rng.standard_normal(picture.shape, dtype=np.float32) * strength
    blotches = rng.standard_normal((height // 2 + 1, width // 2 + 1, 3), dtype=np.float32)
    picture += cv2.resize(blotches, (width, height)) * (strength * 0.7)
    pixels = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    lying = cv2.rotate(pixels[..., ::-1], cv2.ROTATE_90_COUNTERCLOCKWISE)
    _, encoded = cv2.imencode(".jpg", lying, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 96))])
    return encoded.tobytes()
