"""Hair: a thin shell on the scalp, and locks that grow out of it, ribbons whose pattern cuts them to strands.

A lock starts on the scalp and is led, step by step, by its style's flow and by its weight; where it would enter
the head or the clothes it is pushed out to its own clearance. So fringes lie on foreheads, and long hair falls over
ears and cheeks onto the shoulders. Positions are from between the eyes, in decimetres.
"""

from dataclasses import dataclass, replace

import numpy as np

from kpl.studio.body.anatomy import Anatomy
from kpl.studio.body.people import Subject
from kpl.studio.mesh.geometry import smoothstep, unit
from kpl.studio.mesh.nearest import Solid
from kpl.studio.mesh.parts import Part
from kpl.studio.mesh.worn import Worn, grid_triangles, nothing

_WHORL = np.array([0.08, 1.20, -0.30])
_KNOT = np.array([0.0, 0.35, -1.15])  # where tied hair is held together
_COUNT, _STEPS = 260, 8


@dataclass(frozen=True)
class Style:
    """flow: "whorl" (away from the crown), "part" (away from a parting) or "back"; length of the locks (dm);
    weight: how soon they hang; lift: how far they stand off the head; fringe: the height over the eyes at which
    hair over the face ends; parting: the parting's place; band: may be held by a headband; recession: how far the
    hairline has gone back, thinning: how bare the crown is (both 0..1); wander: how far locks part from the flow; fade:
    the length of the hair low on the sides and behind, as a share of that above."""

    flow: str
    length: float
    weight: float
    lift: float
    fringe: float = 0.3
    parting: float = 0.0
    width: float = 0.07
    band: bool = False
    tail: bool = False
    recession: float = 0.0
    thinning: float = 0.0
    wander: float = 0.10
    fade: float = 1.0


# Share of the styles among men and among women.
_SHARES = {
    "cropped": (0.34, 0.02),
    "fringed": (0.20, 0.16),
    "swept": (0.20, 0.04),
    "combed_back": (0.16, 0.04),
    "tied": (0.06, 0.42),
    "loose": (0.01, 0.22),
    "bob": (0.03, 0.10),
}


def draw_style(subject: Subject) -> Style:
    """The subject's hair style, the same in all expressions; older men's hair goes back and thins out."""
    rng = subject.generator("style")
    shares = np.array([share[0 if subject.male else 1] for share in _SHARES.values()])
    name = rng.choice(list(_SHARES), p=shares / shares.sum())
    size, side, height = rng.uniform(0, 1), rng.choice([-1, 1]) * rng.uniform(0, 0.4), rng.uniform(0, 1)
    short = 0.4 if subject.male else 1.0
    style = {
        "cropped": Style(
            "whorl",
            0.25 + 0.25 * size,
            0.25,
            0.10 + 0.12 * size,
            0.35 + 0.25 * height,
            band=True,
            wander=0.2,
            fade=0.35,
        ),
        "fringed": Style(
            "whorl", 0.75 + 0.5 * size, 0.45, 0.16 + 0.1 * size, 0.13 + 0.25 * height, fade=short, wander=0.14
        ),
        "swept": Style("part", 0.6 + 0.4 * size, 0.35, 0.15 + 0.15 * size, 0.22 + 0.25 * height, side, fade=short),
        "combed_back": Style("back", 0.5 + 0.3 * size, 0.1, 0.10 + 0.2 * size, 0.6, band=True, fade=short),
        "tied": Style("back", 1.5, 0.0, 0.05 + 0.07 * size, 0.45, band=True, tail=True),
        "loose": Style("part", 2.2 + 1.4 * size, 1.2, 0.13 + 0.1 * size, 0.12 + 0.2 * height, side, 0.13),
        "bob": Style("whorl", 1.3 + 0.4 * size, 0.8, 0.15 + 0.1 * size, 0.12 + 0.25 * height, width=0.09),
    }[name]
    bare, crown = rng.uniform(0, 1, 2)
    if not subject.male:
        return style
    aged = np.clip((subject.years - 35) / 35, 0, 1)
    return replace(style, recession=aged * bare, thinning=aged * max(0.0, crown * 1.6 - 0.6))


def lost(position: np.ndarray, style: Style) -> np.ndarray:
    """How much higher (...,) the hairline lies at reference positions (..., 3): corners first, then the crown."""
    x, y, z = np.moveaxis(np.asarray(position, np.float32), -1, 0)
    front = smoothstep(0.1, 0.7, z)
    corners = 0.45 * np.exp(-(((np.abs(x) - 0.42) / 0.22) ** 2)) + 0.22
    crown = np.exp(-((x / 0.55) ** 2 + ((z + 0.15) / 0.6) ** 2)) * smoothstep(0.7, 1.0, y)
    return style.recession * corners * front + style.thinning * 2.0 * crown


def shell_thickness(style: Style) -> float:
    """How far the shell under the locks stands off the scalp, against a head of hair that has no locks."""
    return 0.30 if style.length < 1 else 0.4


def grow(
    anatomy: Anatomy, subject: Subject, style: Style, held: float, rest: np.ndarray, solid: Solid, eyes: np.ndarray
) -> Worn:
    """The locks of a head with mesh vertices `rest` (V, 3), which must stay out of `solid`; `eyes` (3,) is the
    point between its eyes. A headband holds what grows before it: `held` is its upper edge's offset."""
    rng = subject.generator("locks")
    roots, normals = _roots(anatomy, rng, style, rest, held)
    if not len(roots):
        return nothing()
    lengths = style.length * rng.uniform(0.75, 1.1, len(roots))
    lengths *= np.interp((roots - eyes)[:, 1], [0.2, 1.0], [style.fade, 1.0])
    lift = style.lift * rng.uniform(0.25, 1.0, len(roots)) + 0.015
    path = _paths(rng, style, roots, normals, lengths, lift, solid, eyes)
    if style.tail:
        tail = _tail(rng, solid, eyes)
        path = np.concatenate([path, tail])
    return _ribbons(rng, path, style, solid)


def _roots(
    anatomy: Anatomy, rng: np.random.Generator, style: Style, rest: np.ndarray, held: float
) -> tuple[np.ndarray, ...]:
    """Points on the scalp (n, 3) and their normals, denser along the hairline, none before the headband."""
    first = len(anatomy.vertices)
    shell = anatomy.triangles[anatomy.part == Part.HAIR] - first
    on_mesh = anatomy.hair_vertices[shell]
    corners = rest[on_mesh]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(across, axis=1)
    height = anatomy.height_over_hairline[on_mesh] - lost(anatomy.reference[on_mesh], style)
    margin = height.mean(axis=1)
    free = anatomy.band_offset[on_mesh].max(axis=1) > held
    free |= anatomy.reference[on_mesh][..., 2].mean(axis=1) < 0.0
    share = area * free * (margin > 0.0) * (1 + 2.5 * (margin < 0.25))
    count = _COUNT if share.any() else 0
    chosen = rng.choice(len(area), count, p=share / share.sum()) if count else np.zeros(0, int)
    a, b = np.sqrt(rng.random(count)), rng.random(count)
    weights = np.stack([1 - a, a * (1 - b), a * b], axis=1)[..., None]
    normals = across[chosen] / area[chosen, None]
    return (corners[chosen] * weights).sum(axis=1), normals


def _flow(style: Style, p: np.ndarray, root: np.ndarray) -> np.ndarray:
    """The direction (n, 3) in which the style leads hair at positions p (n, 3) from between the eyes."""
    if style.flow == "back":
        if style.tail:
            return _KNOT - p
        return np.stack([0.4 * p[:, 0], 0.15 - 0.5 * smoothstep(0.9, 0.2, root[:, 1]), -np.ones(len(p))], axis=1)
    if style.flow == "part":
        side = np.where(root[:, 0] >= style.parting, 1.0, -1.0)
        return np.stack([side, -0.2 * np.ones(len(p)), -0.3 - 0.5 * min(style.length, 1) * np.ones(len(p))], axis=1)
    away = p - _WHORL
    sides = smoothstep(0.22, 0.5, np.abs(root[:, 0])) * (root[:, 2] > 0)  # keeps the eyes' corners free
    return away + np.stack([0 * sides, -0.3 * sides, -1.1 * sides * np.maximum(away[:, 2], 0)], axis=1)


def _paths(
    rng: np.random.Generator,
    style: Style,
    roots: np.ndarray,
    normals: np.ndarray,
    lengths: np.ndarray,
    lift: np.ndarray,
    solid: Solid,
    eyes: np.ndarray,
) -> np.ndarray:
    """The locks' middle lines (n, _STEPS + 1, 3)."""
    path, normal = [roots], normals
    wander = rng.normal(0, style.wander, roots.shape)
    local, rises = roots - eyes, rng.uniform(0, 1, (len(roots), 1))
    ends = style.fringe + rng.normal(0, 0.05, len(roots))
    for k in range(_STEPS):
        along = (k + 1) / _STEPS
        flow = unit(_flow(style, path[-1] - eyes, local))
        flow = unit(flow - normal * (flow * normal).sum(axis=1, keepdims=True)) + wander
        if k < 2 and style.flow == "part":  # parted hair rises from the forehead before it falls
            flow = flow + smoothstep(0.6, 1.0, local[:, 2:]) * rises * np.array([0, 0.9, -0.4])
        if k == 0:
            flow = flow + 0.5 * normal * min(1.0, style.lift * 4)
        hang = style.weight * 2 * along
        ahead = unit(flow * max(0.0, 1 - hang * 0.5) + np.array([0, -hang, 0]))
        point = path[-1] + ahead * (lengths / _STEPS)[:, None]
        foot, normal, distance = solid.nearest(point)
        clearance = lift * np.clip(along * 3, 0.2, 1)
        too_near = distance < clearance
        floats = (distance > clearance) & (distance < clearance + 0.25) & (normal[:, 1] > -0.2)
        wanted = np.where(too_near, clearance, np.where(floats, distance + (clearance - distance) * 0.6, distance))
        point = np.where((too_near | floats)[:, None], foot + normal * wanted[:, None], point)
        path.append(point)
    path = np.stack(path, axis=1)
    for _ in range(2):  # ears and shoulders leave kinks
        path[:, 1:-1] = 0.5 * path[:, 1:-1] + 0.25 * (path[:, :-2] + path[:, 2:])
    path = solid.push_out(path.reshape(-1, 3), 0.012).reshape(path.shape)
    return _cut_at(path, ends, min(0.8 * style.length, 2.0), eyes)


def _cut_at(path: np.ndarray, ends: np.ndarray, drop: float, eyes: np.ndarray) -> np.ndarray:
    """The lines, cut where they come below the heights `ends` (n,) before the face, or `drop` lower beside it."""
    p = path - eyes
    ends = ends[:, None] - drop * smoothstep(0.46, 0.66, np.abs(p[..., 0]))  # longer before the temples
    over_face = (np.abs(p[..., 0]) < 0.62) & (p[..., 2] > 0.75) & (p[..., 1] < ends)
    steps = np.arange(path.shape[1])
    result = path.copy()
    for i in np.flatnonzero(over_face.any(axis=1)):
        first = int(over_face[i].argmax())
        if first == 0:
            result[i] = path[i, 0]
            continue
        above, below = p[i, first - 1, 1], p[i, first, 1]
        share = np.clip((above - ends[i, first]) / max(above - below, 1e-3), 0.0, 1.0)
        at = np.linspace(0, first - 1 + share, len(steps))
        result[i] = np.stack([np.interp(at, steps, path[i, :, axis]) for axis in range(3)], axis=1)
    return result


def _tail(rng: np.random.Generator, solid: Solid, eyes: np.ndarray, count: int = 24) -> np.ndarray:
    """A tail's locks (count, _STEPS + 1, 3), falling from the knot behind the head."""
    along = np.linspace(0, 1, _STEPS + 1)[None, :, None]
    start = eyes + _KNOT + rng.normal(0, 0.07, (count, 1, 3))
    down = np.array([0, -rng.uniform(0.6, 1.8), -0.15]) + rng.normal(0, 0.15, (count, 1, 3))
    path = start + along * down + np.sin(along * np.pi) * np.array([0, 0.12, -0.22])
    return solid.push_out(path.reshape(-1, 3), 0.04).reshape(path.shape)


def _ribbons(rng: np.random.Generator, path: np.ndarray, style: Style, solid: Solid) -> Worn:
    """Ribbons along the lines (n, k, 3), flat on the head and shaded as if they were round."""
    count, steps = path.shape[:2]
    long_enough = np.linalg.norm(path[:, -1] - path[:, 0], axis=1) > 0.05
    path, count = path[long_enough], int(long_enough.sum())
    ahead = unit(np.gradient(path, axis=1))
    _, normal, _ = solid.nearest(path.reshape(-1, 3))
    normal = normal.reshape(path.shape)
    side = unit(np.cross(ahead, normal) + normal * rng.normal(0, 0.25, (count, 1, 1)))
    along = np.linspace(0, 1, steps)
    half = style.width * rng.uniform(0.7, 1.3, (count, 1)) * np.interp(along, [0, 0.3, 0.7, 1], [0.4, 1, 1, 0.55])
    edges = np.array([-1.0, 1.0])
    points = path[:, :, None] + side[:, :, None] * half[:, :, None, None] * edges[:, None]
    rounded = unit(normal[:, :, None] + side[:, :, None] * edges[:, None] * 0.8)
    numbers = np.arange(count)[:, None, None]
    pattern = np.stack(
        np.broadcast_arrays(numbers + 0.25 + 0.25 * edges, along[None, :, None]), axis=-1
    )  # one lock after the other, so that no two are alike
    strip = grid_triangles(steps, 2)
    triangles = (np.arange(count)[:, None, None] * steps * 2 + strip).reshape(-1, 3).astype(np.int32)
    openness = np.interp(along, [0, 0.4, 1], [0.45, 0.8, 0.95])[None, :, None] * rng.uniform(0.75, 1, (count, 1, 1))
    runs = np.broadcast_to(ahead[:, :, None], points.shape).reshape(-1, 3)
    return Worn(
        points.reshape(-1, 3).astype(np.float32),
        rounded.reshape(-1, 3).astype(np.float32),
        triangles,
        np.full(len(triangles), Part.LOCK, np.int32),
        pattern.reshape(-1, 2)[triangles].astype(np.float32),
        runs.astype(np.float32),
        np.broadcast_to(openness, points.shape[:3]).reshape(-1).astype(np.float32),
    )
