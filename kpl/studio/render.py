"""Ray casting one view of a head on the CPU: one ray a pixel, four where the face is."""

from dataclasses import asdict

import numpy as np
import warp as wp

from kpl.studio.anatomy import Anatomy
from kpl.studio.camera import Camera
from kpl.studio.head import Head
from kpl.studio.rays import array, build_mesh
from kpl.studio.scenery import Light, Outfit
from kpl.studio.shading import Lights, Look, Surface, interpolate, is_cut_away, light_vertices, material_of, shade
from kpl.studio.skin import Paint

_SHADOW_RAYS = 6

wp.set_module_options({"enable_backward": False, "fast_math": True})


@wp.struct
class Lens:
    eye: wp.vec3
    right: wp.vec3
    up: wp.vec3
    back: wp.vec3
    focal: float
    center: wp.vec2
    fine: wp.vec4  # left, top, right, bottom of the part that gets four rays a pixel


@wp.func
def trace(surface: Surface, look: Look, lights: Lights, atlas: wp.array2d(dtype=wp.vec3), origin: wp.vec3,
          direction: wp.vec3, behind: wp.vec3, state: wp.uint32) -> wp.vec3:
    start = origin
    for _layer in range(6):
        query = wp.mesh_query_ray(surface.mesh, start, direction, 1.0e6)
        if not query.result:
            return behind
        hit = interpolate(surface, query.face, query.u, query.v, start + direction * query.t)
        if not is_cut_away(hit, look, direction, wp.randf(state)):
            if wp.dot(hit.normal, direction) > 0.0:
                hit.normal = -hit.normal
            return shade(hit, material_of(hit, look, atlas), look, lights, direction)
        start = hit.position + direction * 0.002
    return behind


@wp.kernel
def render_pixel(surface: Surface, look: Look, lights: Lights, lens: Lens, atlas: wp.array2d(dtype=wp.vec3),
                 seed: int, left: int, top: int, picture: wp.array2d(dtype=wp.vec3)):
    """Draw over the background that `picture` holds; the launch covers the window whose corner is (left, top)."""
    row, column = wp.tid()
    row += top
    column += left
    x = float(column)
    y = float(row)
    state = wp.rand_init(seed, row * 8192 + column)
    per_side = int(1)
    if x >= lens.fine[0] and x < lens.fine[2] and y >= lens.fine[1] and y < lens.fine[3]:
        per_side = 2
    step = 1.0 / float(per_side)
    color = wp.vec3(0.0, 0.0, 0.0)
    for i in range(per_side * per_side):
        right = (x + (float(i % per_side) + 0.5) * step - lens.center[0]) / lens.focal
        down = (y + (float(i / per_side) + 0.5) * step - lens.center[1]) / lens.focal
        direction = wp.normalize(lens.right * right - lens.up * down - lens.back)
        color = color + trace(surface, look, lights, atlas, lens.eye, direction, picture[row, column],
                              state + wp.uint32(i * 7919))
    picture[row, column] = color / float(per_side * per_side)


class Stage:
    """One subject before the renderer: what stays the same from expression to expression is handed over once."""

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

    def place(self, head: Head, light: Light, seed: int) -> None:
        """Put a posed head before the cameras, in its light."""
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
        wp.launch(light_vertices, dim=count, device="cpu",
                  inputs=[self._surface, self._look, self._lights, self._mesh.points, _SHADOW_RAYS, seed, lit])

    def render(self, camera: Camera, background: np.ndarray, fine: np.ndarray, seed: int) -> np.ndarray:
        """One view (H, W, 3) float32 in linear light, before `background` (H, W, 3).

        `fine` (left, top, right, bottom) is the part of the picture that gets four rays a pixel.
        """
        lens = Lens()
        lens.eye, lens.focal = wp.vec3(*camera.eye), float(camera.focal)
        lens.right, lens.up, lens.back = (wp.vec3(*axis) for axis in camera.axes)
        lens.center, lens.fine = wp.vec2(*camera.center), wp.vec4(*map(float, fine))
        picture = array(background.astype(np.float32), wp.vec3)
        left, top, right, bottom = _window(camera.project(self._vertices), background.shape)
        if right > left and bottom > top:
            wp.launch(render_pixel, dim=(bottom - top, right - left), device="cpu",
                      inputs=[self._surface, self._look, self._lights, lens, self._atlas, seed, left, top, picture])
        return picture.numpy()


def _window(pixels: np.ndarray, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part of a picture of `shape` that the projected points (n, 2) cover."""
    low, high = np.floor(pixels.min(axis=0)).astype(int), np.ceil(pixels.max(axis=0)).astype(int)
    size = np.array([shape[1], shape[0]])
    return *(int(x) for x in np.clip(low, 0, size)), *(int(x) for x in np.clip(high, 0, size))
