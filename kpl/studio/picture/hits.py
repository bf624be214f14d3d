"""What a ray has hit, and whether the surface is there at all: small Warp functions for `kpl.studio.picture.render`.

Positions called `reference` are those of the reference head: patterns drawn there stick to the skin when it
moves.
"""

import warp as wp

from kpl.studio.mesh.parts import Part

wp.set_module_options({"enable_backward": False, "fast_math": True})

SKIN, BODY = wp.constant(int(Part.SKIN)), wp.constant(int(Part.BODY))
LEFT_EYE, RIGHT_EYE = wp.constant(int(Part.LEFT_EYE)), wp.constant(int(Part.RIGHT_EYE))
TEETH, TONGUE = wp.constant(int(Part.TEETH)), wp.constant(int(Part.TONGUE))
MOUTH, SOCKET = wp.constant(int(Part.MOUTH)), wp.constant(int(Part.SOCKET))
HAIR, CLOTHES, BAND = wp.constant(int(Part.HAIR)), wp.constant(int(Part.CLOTHES)), wp.constant(int(Part.BAND))
LASHES, LOCK = wp.constant(int(Part.LASHES)), wp.constant(int(Part.LOCK))
FRAME, LENS, GARMENT = wp.constant(int(Part.FRAME)), wp.constant(int(Part.LENS)), wp.constant(int(Part.GARMENT))


@wp.struct
class Surface:
    mesh: wp.uint64
    triangles: wp.array(dtype=wp.int32)
    part: wp.array(dtype=wp.int32)
    uv: wp.array(dtype=wp.vec2)
    normals: wp.array(dtype=wp.vec3)
    reference: wp.array(dtype=wp.vec3)  # of locks: the direction in which the hair runs
    traits: wp.array(dtype=wp.vec3)  # height over the hairline, offset from the headband, openness
    lit: wp.array(dtype=wp.vec3)  # share of key, fill and rim light that reaches the vertex


@wp.struct
class Look:
    skin: wp.vec3
    hair: wp.vec3
    cloth: wp.vec3
    stripe: wp.vec3
    band: wp.vec3
    iris: wp.vec3
    left_eye: wp.vec3
    right_eye: wp.vec3
    left_gaze: wp.vec3
    right_gaze: wp.vec3
    iris_angle: float
    pupil_angle: float
    gloss: float
    shininess: float
    roughness: float
    hair_threshold: float
    hair_gloss: float
    frame: wp.vec3
    frame_gloss: float
    lens_tint: float
    band_half_width: float
    band_height: float
    collar: float
    neckline: float
    stripe_frequency: float
    stripe_threshold: float
    noise_seed: wp.uint32
    relief: wp.array2d(dtype=wp.vec3)  # of the frontal plane: tilt to the right and up, darkness
    turn: wp.mat33  # the head's pose


@wp.struct
class Hit:
    part: int
    position: wp.vec3
    normal: wp.vec3
    reference: wp.vec3
    traits: wp.vec3
    lit: wp.vec3
    uv: wp.vec2


@wp.func
def smoothstep(low: float, high: float, value: float) -> float:
    t = wp.clamp((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


@wp.func
def interpolate(surface: Surface, face: int, u: float, v: float, position: wp.vec3) -> Hit:
    a = surface.triangles[face * 3]
    b = surface.triangles[face * 3 + 1]
    c = surface.triangles[face * 3 + 2]
    w = 1.0 - u - v
    hit = Hit()
    hit.part = surface.part[face]
    hit.position = position
    hit.normal = wp.normalize(surface.normals[a] * u + surface.normals[b] * v + surface.normals[c] * w)
    hit.reference = surface.reference[a] * u + surface.reference[b] * v + surface.reference[c] * w
    hit.traits = surface.traits[a] * u + surface.traits[b] * v + surface.traits[c] * w
    hit.lit = surface.lit[a] * u + surface.lit[b] * v + surface.lit[c] * w
    hit.uv = surface.uv[face * 3] * u + surface.uv[face * 3 + 1] * v + surface.uv[face * 3 + 2] * w
    return hit


@wp.func
def is_between_strands(surface: Surface, look: Look, face: int, u: float, v: float) -> bool:
    """Whether the ray passes a lock between its strands, which thin out towards the tips. Asked before
    `interpolate`, for locks lie over one another."""
    if surface.part[face] != LOCK:
        return False
    uv = surface.uv[face * 3] * u + surface.uv[face * 3 + 1] * v + surface.uv[face * 3 + 2] * (1.0 - u - v)
    strand = wp.noise(look.noise_seed, wp.vec2(uv[0] * 15.0, uv[1] * 1.2))
    return strand < 0.75 * uv[1] * uv[1] - 0.42 + 0.25 * smoothstep(0.12, 0.0, uv[1])


@wp.func
def is_cut_away(hit: Hit, look: Look, from_behind: bool) -> bool:
    """Shells, strips and clothes end where their pattern says so: the ray goes on."""
    p = hit.reference
    if hit.part == HAIR:
        strands = 0.09 * wp.noise(look.noise_seed, wp.vec3(p[0] * 26.0, p[1] * 6.0, p[2] * 26.0))
        return hit.traits[0] + strands < look.hair_threshold
    if hit.part == LASHES:
        hair = wp.sin(hit.uv[0] * 330.0 + 3.0 * wp.noise(look.noise_seed, wp.vec2(hit.uv[0] * 40.0, 0.5)))
        return hair < 2.6 * hit.uv[1] - 0.9
    if hit.part == BAND:
        return wp.abs(hit.traits[1] - look.band_height) > look.band_half_width
    if hit.part == TEETH or hit.part == MOUTH or hit.part == SOCKET:
        return from_behind  # there, these would pierce the lips
    if hit.part == CLOTHES:
        dip = look.neckline * wp.max(0.0, 0.9 - wp.abs(p[0])) * smoothstep(0.3, 1.0, p[2])
        return p[1] > look.collar - dip
    return False


@wp.func
def casts_shadow(hit: Hit, look: Look) -> bool:
    if hit.part == MOUTH or hit.part == SOCKET or hit.part == TEETH or hit.part == LASHES or hit.part == LENS:
        return False
    if hit.part == HAIR:
        return hit.traits[0] >= look.hair_threshold
    if hit.part == BAND:
        return wp.abs(hit.traits[1] - look.band_height) <= look.band_half_width
    if hit.part == CLOTHES:
        return hit.reference[1] <= look.collar - 0.2
    return True
