"""One sample: three lying pictures of one subject with one expression, with everything known about them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kpl.studio.body import hair, head, people
from kpl.studio.body.anatomy import Anatomy
from kpl.studio.dress import garments, outfit as outfits, wardrobe
from kpl.studio.mesh.geometry import rotation
from kpl.studio.paint import skin
from kpl.studio.paint.wrinkles import Wrinkles
from kpl.studio.picture import camera, scenery, sensor
from kpl.studio.picture.camera import Window
from kpl.studio.picture.render import Stage

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

    def __init__(self, anatomy: Anatomy, scale: float, device: str = "cpu", rig: str = "competition"):
        self.anatomy, self.device, self.rig = anatomy, device, rig
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
        self._cameras = camera.draw_rig(subject, neutral.landmarks, photographer.width, photographer.rig)
        paint, outfit = skin.paint(photographer.canvas, subject), outfits.draw_outfit(subject)
        style = hair.draw_style(subject)
        garment = garments.draw_garment(subject)
        outfit = wardrobe.match(outfit, style, garment)
        self._worn = wardrobe.dress(anatomy, subject, style, outfit, garment, self._rest, neutral)
        noise_seed = int(subject.generator("kernel").integers(1 << 30))
        self._sensors, self._blur_behind = sensor.draw_sensors(subject)
        self._stage = Stage(anatomy, paint, outfit, style, self._worn, noise_seed, photographer.device)
        self._wrinkles = Wrinkles(photographer.canvas, subject)

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
        grain = int(subject.generator("kernel", expression).integers(1 << 30))
        self._stage.place(posed, light, grain, self._wrinkles.relief(actions), turn)
        behind, boxing = subject.generator("background", expression), subject.generator("sensor", expression)
        wall, take = scenery.draw_wall(behind), sensor.draw_take(subject, expression)
        frame = (studio.width, studio.height)
        shown = [Window(0, 0, 1, *frame)] * 3
        if windows is not None:
            shown = windows(np.stack([lens.project(posed.landmarks) for lens in self._cameras]))
        cameras = [lens.window(window) for lens, window in zip(self._cameras, shown, strict=True)]
        pictures, boxes, flat = [], [], []
        for view, (lens, window) in enumerate(zip(cameras, shown, strict=True)):
            backdrop = scenery.background(
                behind,
                studio.foils,
                wall,
                frame,
                window,
                light.exposure,
                self._blur_behind * studio.width / camera.WIDTH,
            )
            pictures.append(self._photograph(view, lens, window, backdrop, take, posed.landmarks.mean(axis=0)))
            flat.append(camera.lay_down(lens.project(posed.landmarks), window.width))
            boxes.append(camera.face_box(flat[-1], boxing))
        scale, tilt, move = head.canonical_transform(still.landmarks)
        # canonical -> head without pose -> studio
        back = (1 / scale, turn @ tilt.T, turn @ (-tilt.T @ move / scale - pivot) + pivot + shift)
        matrices = [camera.projection(lens, back, window.width) for lens, window in zip(cameras, shown, strict=True)]
        intrinsics, extrinsics = (np.stack(parts) for parts in zip(*matrices, strict=True))
        return Portrait(
            pictures, np.stack(boxes), head.to_canonical(still.landmarks), np.stack(flat), intrinsics, extrinsics
        )

    def _photograph(
        self, view: int, lens: camera.Camera, window: Window, backdrop: np.ndarray, take: sensor.Take, face: np.ndarray
    ) -> bytes:
        """One view's picture, the head moving and perhaps out of focus; `face` (3,) is where."""
        studio, one = self._photographer, self._sensors[view]
        light = self._stage.render(lens, backdrop)
        pixels = window.zoom * studio.width / camera.WIDTH  # of this picture for one of a full frame
        spread = np.hypot(one.sharpness, take.defocus[view]) * pixels
        light = sensor.blurred(light, spread, sensor.streak(lens, face, take.motion))
        frame = (studio.width, studio.height)
        return sensor.develop(light, one, take.gain, int(take.seeds[view]), frame, window, studio.device)

    def _pose(self, expression: str) -> tuple[np.ndarray, np.ndarray]:
        """How the head is turned, and where the subject sits (the same place in all expressions, nearly)."""
        place = np.clip(self.subject.generator("pose").normal(size=3), -2.2, 2.2) * _PLACE_SPREAD
        rng = self.subject.generator("pose", expression)
        return rotation(*rng.normal(0, [5.0, 5.0, 3.0])), place + rng.normal(0, [0.08, 0.08, 0.08])
