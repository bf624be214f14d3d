"""One sample: three lying pictures of one subject with one expression, with everything known about them."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from kpl.studio import camera, head, people, scenery, skin
from kpl.studio.anatomy import Anatomy
from kpl.studio.geometry import rotation
from kpl.studio.render import Stage
from kpl.studio.wrinkles import Wrinkles

_PLACE_SPREAD = np.array([0.37, 0.33, 0.15])  # dm: strays the face boxes' centres as the lists have it, by 60 pixels
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
        noise_seed = int(subject.generator("kernel").integers(1 << 30))
        self._stage = Stage(anatomy, paint, outfit, noise_seed)
        self._wrinkles = Wrinkles(photographer.canvas, subject)

    def portray(self, expression: str) -> Portrait:
        """The sample of one expression (a key of people.EXPRESSIONS)."""
        studio, subject = self._photographer, self.subject
        actions = people.draw_expression(subject, expression, studio.anatomy.label_list)
        still = head.shape_head(studio.anatomy, subject, self._rest, actions)
        turn, shift = self._pose(expression)
        pivot = self._eyes_at + _NECK
        posed = still.posed(turn, pivot, shift)
        light = scenery.draw_light(subject, expression)
        grain = int(subject.generator("kernel", expression).integers(1 << 30))
        self._stage.place(posed, light, grain, self._wrinkles.relief(actions), turn)
        behind, sensor = subject.generator("background", expression), subject.generator("sensor", expression)
        wall = scenery.draw_wall(behind)
        pictures, boxes, flat = [], [], []
        for lens in self._cameras:
            upright = lens.project(posed.landmarks)
            backdrop = scenery.background(behind, studio.foils, wall, studio.width, studio.height)
            picture = self._stage.render(lens, backdrop * light.exposure)
            pictures.append(develop(picture, sensor))
            flat.append(camera.lay_down(upright, studio.width))
            boxes.append(camera.face_box(flat[-1], sensor))
        scale, tilt, move = head.canonical_transform(still.landmarks)
        # canonical -> head without pose -> studio
        back = (1 / scale, turn @ tilt.T, turn @ (-tilt.T @ move / scale - pivot) + pivot + shift)
        matrices = [camera.projection(lens, back, studio.width) for lens in self._cameras]
        intrinsics, extrinsics = (np.stack(parts) for parts in zip(*matrices, strict=True))
        return Portrait(
            pictures, np.stack(boxes), head.to_canonical(still.landmarks), np.stack(flat), intrinsics, extrinsics
        )

    def _pose(self, expression: str) -> tuple[np.ndarray, np.ndarray]:
        """How the head is turned, and where the subject sits (the same place in all expressions, nearly)."""
        place = np.clip(self.subject.generator("pose").normal(size=3), -2.2, 2.2) * _PLACE_SPREAD
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
