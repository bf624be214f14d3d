"""Which triangle each pixel's centre shows: triangles are drawn into a depth buffer, far quicker than rays are cast."""

import warp as wp

from kpl.studio.picture.hits import BODY, LENS, LOCK, SKIN, Look, Surface, interpolate, is_between_strands, is_cut_away

wp.set_module_options({"enable_backward": False, "fast_math": True})

_INSIDE = wp.constant(-1.0e-5)  # neighbours overlap by a hair's breadth: no pixel falls between them
_SMALLEST = wp.constant(1.0e-7)  # twice the area, in pixels, of triangles that are seen edge on


@wp.struct
class Lens:
    eye: wp.vec3
    right: wp.vec3
    up: wp.vec3
    back: wp.vec3
    focal: float
    center: wp.vec2


@wp.func
def line_of_sight(lens: Lens, x: float, y: float) -> wp.vec3:
    """From the eye through (x, y) of the upright picture, one decimetre deep."""
    return lens.right * ((x - lens.center[0]) / lens.focal) - lens.up * ((y - lens.center[1]) / lens.focal) - lens.back


@wp.func
def corners_of(surface: Surface, seen: wp.array(dtype=wp.vec3), face: int):
    """Where a triangle's three corners are seen, as `project_vertices` has it."""
    a = seen[surface.triangles[face * 3]]
    b = seen[surface.triangles[face * 3 + 1]]
    c = seen[surface.triangles[face * 3 + 2]]
    return a, b, c


@wp.func
def twice_area(a: wp.vec3, b: wp.vec3, c: wp.vec3) -> float:
    """Of a triangle in the picture, with its sign: y runs down, so that fronts turn the other way."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


@wp.func
def on_triangle(a: wp.vec3, b: wp.vec3, c: wp.vec3, w: wp.vec3) -> wp.vec3:
    """Barycentric u, v on the triangle itself, and the nearness, at weights `w` in the picture."""
    nearness = w[0] * a[2] + w[1] * b[2] + w[2] * c[2]
    return wp.vec3(w[0] * a[2] / nearness, w[1] * b[2] / nearness, nearness)


@wp.func
def weights_at(a: wp.vec3, b: wp.vec3, c: wp.vec3, x: float, y: float) -> wp.vec3:
    """Barycentric weights, in the picture, of (x, y) in a triangle; not a number where it has no area."""
    area = twice_area(a, b, c)
    u = ((b[0] - x) * (c[1] - y) - (b[1] - y) * (c[0] - x)) / area
    v = ((c[0] - x) * (a[1] - y) - (c[1] - y) * (a[0] - x)) / area
    return wp.vec3(u, v, 1.0 - u - v)


@wp.func
def is_inside(weights: wp.vec3) -> bool:
    return weights[0] >= _INSIDE and weights[1] >= _INSIDE and weights[2] >= _INSIDE


@wp.func
def covered(a: wp.vec3, b: wp.vec3, c: wp.vec3, width: int, height: int) -> wp.vec4i:
    """First column and row, last column and row of a picture whose centres may lie in a triangle."""
    return wp.vec4i(
        wp.max(int(wp.ceil(wp.min(a[0], wp.min(b[0], c[0])) - 0.5)), 0),
        wp.max(int(wp.ceil(wp.min(a[1], wp.min(b[1], c[1])) - 0.5)), 0),
        wp.min(int(wp.floor(wp.max(a[0], wp.max(b[0], c[0])) - 0.5)), width - 1),
        wp.min(int(wp.floor(wp.max(a[1], wp.max(b[1], c[1])) - 0.5)), height - 1),
    )


@wp.kernel
def project_vertices(points: wp.array(dtype=wp.vec3), lens: Lens, seen: wp.array(dtype=wp.vec3)):
    """Where each vertex is seen: x, y in upright pixels, and one over its depth, which is linear over the picture."""
    i = wp.tid()
    away = points[i] - lens.eye
    nearness = -1.0 / wp.dot(away, lens.back)
    x = lens.center[0] + lens.focal * nearness * wp.dot(away, lens.right)
    y = lens.center[1] - lens.focal * nearness * wp.dot(away, lens.up)
    seen[i] = wp.vec3(x, y, nearness)


@wp.func
def entry_at(
    surface: Surface,
    look: Look,
    lens: Lens,
    face: int,
    a: wp.vec3,
    b: wp.vec3,
    c: wp.vec3,
    x: float,
    y: float,
    least: wp.uint64,
) -> wp.uint64:
    """A triangle's entry in the depth buffer at (x, y): the nearness' bits, which sort as the numbers do, and its
    number. `least` where it is not there, or is no nearer than that entry."""
    w = weights_at(a, b, c, x, y)
    if not is_inside(w):
        return least
    at = on_triangle(a, b, c, w)
    entry = (wp.uint64(wp.cast(at[2], wp.uint32)) << wp.uint64(32)) | wp.uint64(face)
    if entry <= least:
        return least
    part = surface.part[face]
    if part == LOCK:
        if is_between_strands(surface, look, face, at[0], at[1]):
            return least
    elif part != SKIN and part != BODY:
        hit = interpolate(surface, face, at[0], at[1], lens.eye + line_of_sight(lens, x, y) / at[2])
        if is_cut_away(hit, look, twice_area(a, b, c) > 0.0):
            return least
    return entry


@wp.kernel
def draw_triangles(
    surface: Surface,
    look: Look,
    lens: Lens,
    seen: wp.array(dtype=wp.vec3),
    shown: wp.array2d(dtype=wp.uint64),
):
    """Enter each triangle where it is nearest."""
    face = wp.tid()
    a, b, c = corners_of(surface, seen, face)
    if wp.abs(twice_area(a, b, c)) < _SMALLEST or wp.min(a[2], wp.min(b[2], c[2])) <= 0.0:
        return
    if surface.part[face] == LENS:
        return  # seen through
    box = covered(a, b, c, shown.shape[1], shown.shape[0])
    for row in range(box[1], box[3] + 1):
        for column in range(box[0], box[2] + 1):
            least = shown[row, column]
            entry = entry_at(surface, look, lens, face, a, b, c, float(column) + 0.5, float(row) + 0.5, least)
            if entry > least:
                wp.atomic_max(shown, row, column, entry)
