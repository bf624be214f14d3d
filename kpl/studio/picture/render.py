"""One view of a head: the triangle at each pixel's centre is shaded, and four rays more are cast at edges."""

from dataclasses import asdict

import numpy as np
import warp as wp

from kpl.studio.body.anatomy import Anatomy
from kpl.studio.body.hair import Style, lost
from kpl.studio.body.head import Head
from kpl.studio.dress.outfit import Outfit
from kpl.studio.mesh.parts import Part
from kpl.studio.mesh.rays import array, build_mesh
from kpl.studio.mesh.worn import Worn
from kpl.studio.paint.skin import Paint
from kpl.studio.picture.camera import Camera
from kpl.studio.picture.hits import LENS, LOCK, Hit, Look, Surface, interpolate, is_between_strands, is_cut_away
from kpl.studio.picture.materials import material_of
from kpl.studio.picture.raster import (
    Lens,
    corners_of,
    covered,
    draw_triangles,
    entry_at,
    is_inside,
    line_of_sight,
    on_triangle,
    project_vertices,
    weights_at,
)
from kpl.studio.picture.scenery import Light
from kpl.studio.picture.shading import Lights, lens_glint, light_vertices, shade

_SHADOW_RAYS = 6
_EDGE = wp.constant(0.25)  # contrast between neighbours, relative to their brightness

wp.set_module_options({"enable_backward": False, "fast_math": True})


@wp.func
def light_of(
    surface: Surface,
    look: Look,
    lights: Lights,
    atlas: wp.array2d(dtype=wp.vec4),
    hit: Hit,
    direction: wp.vec3,
) -> wp.vec3:
    """Light that comes back along a ray of `direction` from what it has hit."""
    if wp.dot(hit.normal, direction) > 0.0:
        hit.normal = -hit.normal
    return shade(hit, material_of(hit, look, atlas), look, lights, direction)


@wp.func
def trace(
    surface: Surface,
    look: Look,
    lights: Lights,
    lens: Lens,
    atlas: wp.array2d(dtype=wp.vec4),
    x: float,
    y: float,
    behind: wp.vec3,
) -> wp.vec3:
    """Light seen at (x, y) of the upright picture."""
    direction = wp.normalize(line_of_sight(lens, x, y))
    start = lens.eye
    glint = wp.vec3(0.0, 0.0, 0.0)  # of spectacle lenses on the way
    through = float(1.0)
    for _layer in range(10):
        query = wp.mesh_query_ray(surface.mesh, start, direction, 1.0e6)
        if not query.result:
            break
        if is_between_strands(surface, look, query.face, query.u, query.v):
            start = start + direction * (query.t + 0.0003)
            continue
        hit = interpolate(surface, query.face, query.u, query.v, start + direction * query.t)
        if hit.part == LENS:
            glint += lens_glint(hit, lights, direction) * through
            through *= 1.0 - look.lens_tint
        elif not is_cut_away(hit, look, wp.dot(query.normal, direction) > 0.0):
            return light_of(surface, look, lights, atlas, hit, direction) * through + glint
        start = hit.position + direction * 0.0003  # no further: skin may lie close behind
    return behind * through + glint


@wp.func
def light_of_entry(
    surface: Surface,
    look: Look,
    lights: Lights,
    lens: Lens,
    atlas: wp.array2d(dtype=wp.vec4),
    seen: wp.array(dtype=wp.vec3),
    entry: wp.uint64,
    x: float,
    y: float,
) -> wp.vec3:
    """Light at (x, y) of the upright picture from the triangle of a depth buffer's entry."""
    face = int(entry & wp.uint64(0xFFFFFFFF))
    a, b, c = corners_of(surface, seen, face)
    at = on_triangle(a, b, c, weights_at(a, b, c, x, y))
    sight = line_of_sight(lens, x, y)
    hit = interpolate(surface, face, at[0], at[1], lens.eye + sight / at[2])
    return light_of(surface, look, lights, atlas, hit, wp.normalize(sight))


@wp.kernel
def shade_pixels(
    surface: Surface,
    look: Look,
    lights: Lights,
    lens: Lens,
    atlas: wp.array2d(dtype=wp.vec4),
    left: int,
    top: int,
    seen: wp.array(dtype=wp.vec3),
    shown: wp.array2d(dtype=wp.uint64),
    picture: wp.array2d(dtype=wp.vec3),
):
    """Light at the centre of each pixel that shows a triangle; the launch covers the window whose corner is (left,
    top)."""
    row, column = wp.tid()
    row += top
    column += left
    entry = shown[row, column]
    if entry != wp.uint64(0):
        x = float(column) + 0.5
        y = float(row) + 0.5
        picture[row, column] = light_of_entry(surface, look, lights, lens, atlas, seen, entry, x, y)


@wp.kernel
def shade_lenses(
    surface: Surface,
    look: Look,
    lights: Lights,
    lens: Lens,
    first: int,
    seen: wp.array(dtype=wp.vec3),
    shown: wp.array2d(dtype=wp.uint64),
    picture: wp.array2d(dtype=wp.vec3),
):
    """What spectacle lenses take from the light behind them and mirror; theirs are the triangles from `first` on."""
    face = first + wp.tid()
    if surface.part[face] != LENS:
        return
    a, b, c = corners_of(surface, seen, face)
    box = covered(a, b, c, shown.shape[1], shown.shape[0])
    for row in range(box[1], box[3] + 1):
        for column in range(box[0], box[2] + 1):
            x = float(column) + 0.5
            y = float(row) + 0.5
            w = weights_at(a, b, c, x, y)
            at = on_triangle(a, b, c, w)
            entry = wp.uint64(wp.cast(at[2], wp.uint32)) << wp.uint64(32)
            if is_inside(w) and entry > shown[row, column]:
                sight = line_of_sight(lens, x, y)
                hit = interpolate(surface, face, at[0], at[1], lens.eye)
                glint = lens_glint(hit, lights, wp.normalize(sight))
                picture[row, column] = picture[row, column] * (1.0 - look.lens_tint) + glint


@wp.func
def is_lock(surface: Surface, entry: wp.uint64) -> bool:
    return entry != wp.uint64(0) and surface.part[int(entry & wp.uint64(0xFFFFFFFF))] == LOCK


@wp.func
def edge_at(
    surface: Surface, picture: wp.array2d(dtype=wp.vec3), shown: wp.array2d(dtype=wp.uint64), row: int, column: int
) -> int:
    """Whether the subject, seen at a pixel or beside it, differs visibly from its neighbours there: 0 no, 1 yes, 2
    only by locks of hair."""
    own = picture[row, column]
    there = shown[row, column] != wp.uint64(0)
    lock = is_lock(surface, shown[row, column])
    edge = int(0)
    for k in range(4):
        r = wp.clamp(row + (k - 1) * (1 - k % 2), 0, picture.shape[0] - 1)
        c = wp.clamp(column + (k - 2) * (k % 2), 0, picture.shape[1] - 1)
        beside = shown[r, c] != wp.uint64(0)
        if there or beside:
            other = picture[r, c]
            contrast = wp.abs(own[0] - other[0]) + wp.abs(own[1] - other[1]) + wp.abs(own[2] - other[2])
            if there != beside or contrast > _EDGE * (0.1 + own[1] + other[1]):
                if not (lock or is_lock(surface, shown[r, c])):
                    return 1
                edge = 2
    return edge


@wp.func
def is_outline(shown: wp.array2d(dtype=wp.uint64), row: int, column: int) -> bool:
    """Whether a pixel or one of its four neighbours shows the background."""
    above, below = shown[wp.max(row - 1, 0), column], shown[wp.min(row + 1, shown.shape[0] - 1), column]
    before, after = shown[row, wp.max(column - 1, 0)], shown[row, wp.min(column + 1, shown.shape[1] - 1)]
    return wp.min(wp.min(wp.min(above, below), wp.min(before, after)), shown[row, column]) == wp.uint64(0)


@wp.func
def nearest_around(
    surface: Surface,
    look: Look,
    lens: Lens,
    seen: wp.array(dtype=wp.vec3),
    shown: wp.array2d(dtype=wp.uint64),
    row: int,
    column: int,
    x: float,
    y: float,
) -> wp.uint64:
    """The nearest at (x, y) of the triangles that a pixel and its four neighbours show, as a depth buffer's entry; 0
    where none of them is there."""
    nearest = wp.uint64(0)
    for k in range(5):  # left, above, right, below, own
        r = wp.clamp(row + (k - 2) * (k % 2), 0, shown.shape[0] - 1)
        c = wp.clamp(column + (k - 1) * (1 - k % 2) * (1 - k // 4), 0, shown.shape[1] - 1)
        entry = shown[r, c]
        if entry != wp.uint64(0):
            face = int(entry & wp.uint64(0xFFFFFFFF))
            first, second, third = corners_of(surface, seen, face)
            nearest = entry_at(surface, look, lens, face, first, second, third, x, y, nearest)
    return nearest


@wp.kernel
def refine_edges(
    surface: Surface,
    look: Look,
    lights: Lights,
    lens: Lens,
    atlas: wp.array2d(dtype=wp.vec4),
    left: int,
    top: int,
    through_lenses: bool,
    seen: wp.array(dtype=wp.vec3),
    shown: wp.array2d(dtype=wp.uint64),
    picture: wp.array2d(dtype=wp.vec3),
    background: wp.array2d(dtype=wp.vec3),
    refined: wp.array2d(dtype=wp.vec3),
):
    """Four points more where one is not enough, of the triangles seen nearby or, where none is there, by a
    ray; at strands of hair a little of the neighbours is enough."""
    row, column = wp.tid()
    row += top
    column += left
    color = picture[row, column]
    edge = edge_at(surface, picture, shown, row, column)
    if edge == 2:  # so many strands, so fine: a pixel takes from its neighbours instead
        above, below = wp.max(row - 1, 0), wp.min(row + 1, picture.shape[0] - 1)
        before, after = wp.max(column - 1, 0), wp.min(column + 1, picture.shape[1] - 1)
        beside = picture[above, column] + picture[below, column] + picture[row, before] + picture[row, after]
        color = 0.52 * color + 0.12 * beside
    if edge == 1:
        for i in range(4):
            x = float(column) + 0.25 + 0.5 * float(i % 2)
            y = float(row) + 0.25 + 0.5 * float(i / 2)
            entry = wp.uint64(0)
            if not through_lenses:
                entry = nearest_around(surface, look, lens, seen, shown, row, column, x, y)
            if entry != wp.uint64(0):
                color += light_of_entry(surface, look, lights, lens, atlas, seen, entry, x, y)
            elif not through_lenses and is_outline(shown, row, column):
                color += background[row, column]
            else:
                color += trace(surface, look, lights, lens, atlas, x, y, background[row, column])
        color = color / 5.0
    refined[row, column] = color


class Stage:
    """One subject before the renderer: what stays the same from expression to expression is handed over
    once."""

    def __init__(
        self,
        anatomy: Anatomy,
        paint: Paint,
        outfit: Outfit,
        style: Style,
        worn: Worn,
        noise_seed: int,
        device: str = "cpu",
    ):
        self._device = device
        self._triangles = np.concatenate([anatomy.triangles, worn.triangles + len(anatomy.reference)])
        self._first_worn, self._lenses = len(anatomy.triangles), bool((worn.part == Part.LENS).any())
        self._shadowed = len(anatomy.reference) + int(worn.triangles[worn.part != Part.LOCK].max(initial=-1)) + 1
        self._atlas = array(np.concatenate([paint.atlas, paint.sheen[..., None]], axis=2), wp.vec4, device)
        self._surface = Surface()
        self._surface.triangles = array(self._triangles.ravel(), wp.int32, device)
        self._surface.part = array(np.concatenate([anatomy.part, worn.part]), wp.int32, device)
        uv = np.concatenate([anatomy.triangle_uv, worn.pattern])
        self._surface.uv = array(uv.reshape(-1, 2), wp.vec2, device)
        self._surface.reference = array(np.concatenate([anatomy.reference, worn.reference]), wp.vec3, device)
        height = anatomy.height_over_hairline - lost(anatomy.reference, style)
        traits = np.stack([height, anatomy.band_offset, anatomy.openness], axis=1)
        of_worn = np.repeat(worn.openness[:, None], 3, axis=1)
        self._surface.traits = array(np.concatenate([traits, of_worn]), wp.vec3, device)
        self._look = Look()
        for name, value in asdict(outfit).items():
            setattr(self._look, name, wp.vec3(*map(float, value)) if np.ndim(value) else float(value))
        self._look.skin, self._look.hair = wp.vec3(*map(float, paint.skin)), wp.vec3(*map(float, paint.hair))
        self._look.noise_seed = wp.uint32(noise_seed)
        self._mesh = None

    def place(self, head: Head, light: Light, seed: int, relief: np.ndarray, turn: np.ndarray) -> None:
        """Put a posed head before the cameras, in its light, with the wrinkles of its expression (see
        `kpl.studio.paint.wrinkles`); `turn` (3, 3) is its pose."""
        self._look.relief, self._look.turn = array(relief, wp.vec3, self._device), wp.mat33(turn)
        self._mesh = build_mesh(head.vertices, self._triangles, self._device)
        self._surface.mesh = self._mesh.id
        self._surface.normals = array(head.normals, wp.vec3, self._device)
        for side, center, gaze in zip(("left", "right"), head.eye_centers, head.gaze, strict=True):
            setattr(self._look, f"{side}_eye", wp.vec3(*map(float, center)))
            setattr(self._look, f"{side}_gaze", wp.vec3(*map(float, gaze)))
        self._lights = Lights()
        self._lights.directions, self._lights.colors = wp.mat33(light.directions), wp.mat33(light.colors)
        for name in ("sky", "ground", "front"):
            setattr(self._lights, name, wp.vec3(*getattr(light, name)))
        self._lights.sideways, self._lights.softness = float(light.sideways), float(light.softness)
        lit = wp.clone(self._surface.traits)  # locks have no shadows of their own: their roots are darker instead
        self._surface.lit = lit
        inputs = [self._surface, self._look, self._lights, self._mesh.points, _SHADOW_RAYS, seed, lit]
        wp.launch(light_vertices, dim=self._shadowed, device=self._device, inputs=inputs)

    def render(self, camera: Camera, background: np.ndarray) -> np.ndarray:
        """One view (H, W, 3) float32 in linear light, before `background` (H, W, 3)."""
        device, surface, look = self._device, self._surface, self._look
        lens = Lens()
        lens.eye, lens.focal, lens.center = wp.vec3(*camera.eye), float(camera.focal), wp.vec2(*camera.center)
        lens.right, lens.up, lens.back = (wp.vec3(*axis) for axis in camera.axes)
        points = self._mesh.points
        seen = wp.empty_like(points)
        wp.launch(project_vertices, dim=len(points), device=device, inputs=[points, lens, seen])
        behind = array(background.astype(np.float32, copy=False), wp.vec3, device)
        left, top, right, bottom = _window(seen.numpy(), background.shape)
        if right <= left or bottom <= top:
            return behind.numpy()
        shown = wp.zeros(behind.shape, dtype=wp.uint64, device=device)
        picture, refined = wp.clone(behind), wp.clone(behind)
        shared = [surface, look, self._lights, lens, self._atlas, left, top]
        window = (bottom - top, right - left)
        wp.launch(draw_triangles, len(self._triangles), [surface, look, lens, seen, shown], device=device)
        wp.launch(shade_pixels, window, [*shared, seen, shown, picture], device=device)
        if self._lenses:
            inputs = [surface, look, self._lights, lens, self._first_worn, seen, shown, picture]
            wp.launch(shade_lenses, len(self._triangles) - self._first_worn, inputs, device=device)
        inputs = [*shared, self._lenses, seen, shown, picture, behind, refined]
        wp.launch(refine_edges, window, inputs, device=device)
        return refined.numpy()


def _window(seen: np.ndarray, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part of a picture of `shape` that the projected points (n, >=2) cover, with a
    pixel around them that may be an edge."""
    low, high = np.floor(seen[:, :2].min(axis=0)).astype(int) - 1, np.ceil(seen[:, :2].max(axis=0)).astype(int) + 1
    size = np.array([shape[1], shape[0]])
    return *(int(x) for x in np.clip(low, 0, size)), *(int(x) for x in np.clip(high, 0, size))
