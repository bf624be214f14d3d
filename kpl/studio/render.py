"""Ray casting one view of a head on the CPU: one ray a pixel, and four more at edges."""

from dataclasses import asdict

import numpy as np
import warp as wp

from kpl.studio.anatomy import Anatomy
from kpl.studio.camera import Camera
from kpl.studio.head import Head
from kpl.studio.hits import Look, Surface, interpolate, is_cut_away
from kpl.studio.materials import material_of
from kpl.studio.rays import array, build_mesh
from kpl.studio.scenery import Light, Outfit
from kpl.studio.shading import Lights, light_vertices, shade
from kpl.studio.skin import Paint

_SHADOW_RAYS = 6
_EDGE = wp.constant(0.25)  # contrast between neighbours, relative to their brightness

wp.set_module_options({"enable_backward": False, "fast_math": True})


@wp.struct
class Lens:
    eye: wp.vec3
    right: wp.vec3
    up: wp.vec3
    back: wp.vec3
    focal: float
    center: wp.vec2


@wp.func
def trace(
    surface: Surface,
    look: Look,
    lights: Lights,
    lens: Lens,
    atlas: wp.array2d(dtype=wp.vec3),
    x: float,
    y: float,
    behind: wp.vec3,
) -> wp.vec4:
    """Light seen at (x, y) of the upright picture, and whether it comes from the subject (1) or from behind
    (0)."""
    direction = wp.normalize(
        lens.right * ((x - lens.center[0]) / lens.focal) - lens.up * ((y - lens.center[1]) / lens.focal) - lens.back
    )
    start = lens.eye
    for _layer in range(10):
        query = wp.mesh_query_ray(surface.mesh, start, direction, 1.0e6)
        if not query.result:
            break
        hit = interpolate(surface, query.face, query.u, query.v, start + direction * query.t)
        if not is_cut_away(hit, look, wp.dot(query.normal, direction) > 0.0):
            if wp.dot(hit.normal, direction) > 0.0:
                hit.normal = -hit.normal
            color = shade(hit, material_of(hit, look, atlas), look, lights, direction)
            return wp.vec4(color[0], color[1], color[2], 1.0)
        start = hit.position + direction * 0.0003  # no further: skin may lie close behind
    return wp.vec4(behind[0], behind[1], behind[2], 0.0)


@wp.kernel
def cast_pixels(
    surface: Surface,
    look: Look,
    lights: Lights,
    lens: Lens,
    atlas: wp.array2d(dtype=wp.vec3),
    left: int,
    top: int,
    background: wp.array2d(dtype=wp.vec3),
    picture: wp.array2d(dtype=wp.vec4),
):
    """One ray through each pixel's centre; the launch covers the window whose corner is (left, top)."""
    row, column = wp.tid()
    row += top
    column += left
    picture[row, column] = trace(
        surface, look, lights, lens, atlas, float(column) + 0.5, float(row) + 0.5, background[row, column]
    )


@wp.func
def is_edge(picture: wp.array2d(dtype=wp.vec4), row: int, column: int) -> bool:
    """Whether the subject, seen at a pixel or beside it, differs visibly from its neighbours there."""
    own = picture[row, column]
    for k in range(4):
        r = wp.clamp(row + (k - 1) * (1 - k % 2), 0, picture.shape[0] - 1)
        c = wp.clamp(column + (k - 2) * (k % 2), 0, picture.shape[1] - 1)
        other = picture[r, c]
        if own[3] + other[3] > 0.0:
            contrast = wp.abs(own[0] - other[0]) + wp.abs(own[1] - other[1]) + wp.abs(own[2] - other[2])
            if contrast > _EDGE * (0.1 + own[1] + other[1]) or own[3] != other[3]:
                return True
    return False


@wp.kernel
def refine_edges(
    surface: Surface,
    look: Look,
    lights: Lights,
    lens: Lens,
    atlas: wp.array2d(dtype=wp.vec3),
    left: int,
    top: int,
    background: wp.array2d(dtype=wp.vec3),
    picture: wp.array2d(dtype=wp.vec4),
    refined: wp.array2d(dtype=wp.vec3),
):
    """Four rays more where one is not enough."""
    row, column = wp.tid()
    row += top
    column += left
    color = picture[row, column]
    if is_edge(picture, row, column):
        for i in range(4):
            x = float(column) + 0.25 + 0.5 * float(i % 2)
            y = float(row) + 0.25 + 0.5 * float(i / 2)
            color += trace(surface, look, lights, lens, atlas, x, y, background[row, column])
        color = color / 5.0
    refined[row, column] = wp.vec3(color[0], color[1], color[2])


class Stage:
    """One subject before the renderer: what stays the same from expression to expression is handed over
    once."""

    def __init__(self, anatomy: Anatomy, paint: Paint, outfit: Outfit, noise_seed: int):
        self._anatomy = anatomy
        self._atlas = array(paint.atlas, wp.vec3)
        self._surface = Surface()
        self._surface.triangles = array(anatomy.triangles.ravel(), wp.int32)
        self._surface.part = array(anatomy.part, wp.int32)
        self._surface.uv = array(anatomy.triangle_uv.reshape(-1, 2), wp.vec2)
        self._surface.reference = array(anatomy.reference, wp.vec3)
        traits = np.stack([anatomy.height_over_hairline, anatomy.band_offset, anatomy.openness], axis=1)
        self._surface.traits = array(traits, wp.vec3)
        self._look = Look()
        for name, value in asdict(outfit).items():
            setattr(self._look, name, wp.vec3(*map(float, value)) if np.ndim(value) else float(value))
        self._look.skin, self._look.hair = wp.vec3(*map(float, paint.skin)), wp.vec3(*map(float, paint.hair))
        self._look.noise_seed = wp.uint32(noise_seed)
        self._mesh = None

    def place(self, head: Head, light: Light, seed: int, relief: np.ndarray, turn: np.ndarray) -> None:
        """Put a posed head before the cameras, in its light, with the wrinkles of its expression (see
        `kpl.studio.wrinkles`); `turn` (3, 3) is its pose."""
        self._look.relief, self._look.turn = array(relief, wp.vec3), wp.mat33(turn)
        self._mesh = build_mesh(head.vertices, self._anatomy.triangles)
        self._surface.mesh = self._mesh.id
        self._vertices = head.vertices
        self._surface.normals = array(head.normals, wp.vec3)
        for side, center, gaze in zip(("left", "right"), head.eye_centers, head.gaze, strict=True):
            setattr(self._look, f"{side}_eye", wp.vec3(*map(float, center)))
            setattr(self._look, f"{side}_gaze", wp.vec3(*map(float, gaze)))
        self._lights = Lights()
        self._lights.directions, self._lights.colors = wp.mat33(light.directions), wp.mat33(light.colors)
        for name in ("sky", "ground", "front"):
            setattr(self._lights, name, wp.vec3(*getattr(light, name)))
        self._lights.sideways, self._lights.softness = float(light.sideways), float(light.softness)
        count = len(head.vertices)
        lit = wp.zeros(count, dtype=wp.vec3, device="cpu")
        self._surface.lit = lit
        wp.launch(
            light_vertices,
            dim=count,
            device="cpu",
            inputs=[self._surface, self._look, self._lights, self._mesh.points, _SHADOW_RAYS, seed, lit],
        )

    def render(self, camera: Camera, background: np.ndarray) -> np.ndarray:
        """One view (H, W, 3) float32 in linear light, before `background` (H, W, 3)."""
        lens = Lens()
        lens.eye, lens.focal, lens.center = wp.vec3(*camera.eye), float(camera.focal), wp.vec2(*camera.center)
        lens.right, lens.up, lens.back = (wp.vec3(*axis) for axis in camera.axes)
        behind = array(background.astype(np.float32), wp.vec3)
        nothing_hit = np.zeros_like(background[..., :1])
        picture = array(np.concatenate([background, nothing_hit], axis=2).astype(np.float32), wp.vec4)
        refined = wp.clone(behind)
        left, top, right, bottom = _window(camera.project(self._vertices), background.shape)
        if right > left and bottom > top:
            shared = [self._surface, self._look, self._lights, lens, self._atlas, left, top, behind, picture]
            window = (bottom - top, right - left)
            wp.launch(cast_pixels, dim=window, inputs=shared, device="cpu")
            wp.launch(refine_edges, dim=window, inputs=[*shared, refined], device="cpu")
        return refined.numpy()


def _window(pixels: np.ndarray, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part of a picture of `shape` that the projected points (n, 2) cover."""
    low, high = np.floor(pixels.min(axis=0)).astype(int), np.ceil(pixels.max(axis=0)).astype(int)
    size = np.array([shape[1], shape[0]])
    return *(int(x) for x in np.clip(low, 0, size)), *(int(x) for x in np.clip(high, 0, size))
