"""Materials and light for one ray's hit: small Warp functions, put together by `kpl.studio.render`.

Positions called `reference` are those of the reference head: patterns drawn there stick to the skin when it moves.
"""

import warp as wp

from kpl.studio.parts import Part

wp.set_module_options({"enable_backward": False, "fast_math": True})

SKIN, LEFT_EYE, RIGHT_EYE = wp.constant(int(Part.SKIN)), wp.constant(int(Part.LEFT_EYE)), wp.constant(int(Part.RIGHT_EYE))
TEETH, TONGUE = wp.constant(int(Part.TEETH)), wp.constant(int(Part.TONGUE))
HAIR, CLOTHES, BAND = wp.constant(int(Part.HAIR)), wp.constant(int(Part.CLOTHES)), wp.constant(int(Part.BAND))
MOUTH, SOCKET, BODY = wp.constant(int(Part.MOUTH)), wp.constant(int(Part.SOCKET)), wp.constant(int(Part.BODY))


@wp.struct
class Surface:
    mesh: wp.uint64
    triangles: wp.array(dtype=wp.int32)
    part: wp.array(dtype=wp.int32)
    uv: wp.array(dtype=wp.vec2)
    normals: wp.array(dtype=wp.vec3)
    reference: wp.array(dtype=wp.vec3)
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
    band_half_width: float
    band_height: float
    collar: float
    neckline: float
    stripe_frequency: float
    stripe_threshold: float
    noise_seed: wp.uint32


@wp.struct
class Lights:
    directions: wp.mat33  # rows: key, fill, rim
    colors: wp.mat33
    sky: wp.vec3
    ground: wp.vec3
    front: wp.vec3
    sideways: float
    softness: float


@wp.struct
class Hit:
    part: int
    position: wp.vec3
    normal: wp.vec3
    reference: wp.vec3
    traits: wp.vec3
    lit: wp.vec3
    uv: wp.vec2


@wp.struct
class Material:
    albedo: wp.vec3
    normal: wp.vec3
    gloss: float
    shininess: float
    openness: float
    wrap: float  # how far light bleeds round the terminator, as it does in skin


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
def is_cut_away(hit: Hit, look: Look, direction: wp.vec3) -> bool:
    """Shells, strips and clothes end where their pattern says so: the ray goes on."""
    p = hit.reference
    if hit.part == HAIR:
        strands = 0.09 * wp.noise(look.noise_seed, wp.vec3(p[0] * 26.0, p[1] * 6.0, p[2] * 26.0))
        return hit.traits[0] + strands < look.hair_threshold
    if hit.part == BAND:
        return wp.abs(hit.traits[1] - look.band_height) > look.band_half_width
    if hit.part == TEETH or hit.part == MOUTH or hit.part == SOCKET:
        return wp.dot(hit.normal, direction) > 0.0  # seen from behind, these would float in the mouth or pierce the lips
    if hit.part == CLOTHES:
        dip = look.neckline * wp.max(0.0, 0.9 - wp.abs(p[0])) * smoothstep(0.3, 1.0, p[2])
        return p[1] > look.collar - dip
    return False


@wp.func
def casts_shadow(hit: Hit, look: Look) -> bool:
    if hit.part == MOUTH or hit.part == SOCKET or hit.part == TEETH:
        return False
    if hit.part == HAIR:
        return hit.traits[0] >= look.hair_threshold
    if hit.part == BAND:
        return wp.abs(hit.traits[1] - look.band_height) <= look.band_half_width
    if hit.part == CLOTHES:
        return hit.reference[1] <= look.collar - 0.2
    return True


@wp.func
def sample_atlas(atlas: wp.array2d(dtype=wp.vec3), uv: wp.vec2) -> wp.vec3:
    x = uv[0] * float(atlas.shape[1]) - 0.5
    y = uv[1] * float(atlas.shape[0]) - 0.5
    column = wp.clamp(int(wp.floor(x)), 0, atlas.shape[1] - 2)
    row = wp.clamp(int(wp.floor(y)), 0, atlas.shape[0] - 2)
    fx = wp.clamp(x - float(column), 0.0, 1.0)
    fy = wp.clamp(y - float(row), 0.0, 1.0)
    above = atlas[row, column] * (1.0 - fx) + atlas[row, column + 1] * fx
    below = atlas[row + 1, column] * (1.0 - fx) + atlas[row + 1, column + 1] * fx
    return above * (1.0 - fy) + below * fy


@wp.func
def eye_material(hit: Hit, look: Look) -> Material:
    """The mesh's eyeball has eight sides: normal, iris and pupil are computed on the sphere instead."""
    center = look.left_eye
    gaze = look.left_gaze
    if hit.part == RIGHT_EYE:
        center = look.right_eye
        gaze = look.right_gaze
    outward = wp.normalize(hit.position - center)
    cosine = wp.dot(outward, gaze)
    angle = wp.acos(wp.clamp(cosine, -1.0, 1.0))
    sideways = outward - gaze * cosine
    white = (wp.vec3(0.74, 0.70, 0.67) * (1.0 - 0.25 * smoothstep(0.35, 1.0, angle))
             + wp.vec3(0.05, -0.02, -0.02) * smoothstep(0.5, 1.0, angle))
    colored = look.iris * (1.0 - 0.55 * smoothstep(look.iris_angle * 0.75, look.iris_angle, angle))
    if angle < look.pupil_angle:
        colored = wp.vec3(0.004, 0.004, 0.004)
    inside = smoothstep(look.iris_angle + 0.03, look.iris_angle - 0.02, angle)
    material = Material()
    material.albedo = white * (1.0 - inside) + colored * inside
    material.normal = outward
    if angle < 0.5:
        material.normal = wp.normalize(outward - sideways * 0.25)
    material.gloss = 0.9
    material.shininess = 350.0
    material.openness = 0.62
    return material


@wp.func
def hair_material(hit: Hit, look: Look) -> Material:
    p = hit.reference
    fine = wp.noise(look.noise_seed, wp.vec3(p[0] * 45.0, p[1] * 5.0, p[2] * 45.0))
    coarse = wp.noise(look.noise_seed, wp.vec3(p[0] * 12.0, p[1] * 2.0, p[2] * 12.0))
    material = Material()
    material.albedo = look.hair * wp.max(0.1, 1.0 + 0.6 * fine + 0.5 * coarse)
    bend = wp.vec3(fine, 0.3 * coarse, -fine) * 0.5 + wp.vec3(coarse, 0.0, coarse) * 0.35
    material.normal = wp.normalize(hit.normal + bend)
    material.gloss = look.hair_gloss
    material.shininess = 14.0
    material.openness = hit.traits[2]
    return material


@wp.func
def clothes_material(hit: Hit, look: Look) -> Material:
    p = hit.reference
    folds = wp.noise(look.noise_seed, p * 1.5)
    material = Material()
    material.albedo = look.cloth
    if wp.sin(p[1] * look.stripe_frequency + folds) > look.stripe_threshold:
        material.albedo = look.stripe
    material.normal = wp.normalize(hit.normal + wp.vec3(folds, -folds, folds) * 0.3)
    material.openness = hit.traits[2]
    material.shininess = 20.0
    return material


@wp.func
def skin_material(hit: Hit, look: Look, atlas: wp.array2d(dtype=wp.vec3)) -> Material:
    material = Material()
    material.albedo = look.skin
    if hit.part == SKIN:
        material.albedo = sample_atlas(atlas, hit.uv)
    bumps = wp.noise(look.noise_seed, hit.reference * 9.0)
    material.normal = wp.normalize(hit.normal + wp.vec3(bumps, -bumps, 0.0) * look.roughness)
    material.gloss = look.gloss
    material.shininess = look.shininess
    material.openness = hit.traits[2]
    material.wrap = 0.25
    return material


@wp.func
def material_of(hit: Hit, look: Look, atlas: wp.array2d(dtype=wp.vec3)) -> Material:
    if hit.part == SKIN or hit.part == BODY:
        return skin_material(hit, look, atlas)
    if hit.part == LEFT_EYE or hit.part == RIGHT_EYE:
        return eye_material(hit, look)
    if hit.part == HAIR:
        return hair_material(hit, look)
    if hit.part == CLOTHES:
        return clothes_material(hit, look)
    material = Material()
    material.normal = hit.normal
    material.shininess = 50.0
    material.openness = hit.traits[2]
    if hit.part == BAND:
        material.albedo = look.band
    if hit.part == TEETH:
        material.albedo = wp.vec3(0.55, 0.50, 0.42)
        material.gloss = 0.2
        material.openness = 0.55
    if hit.part == TONGUE:
        material.albedo = wp.vec3(0.5, 0.16, 0.15)
        material.gloss = 0.15
        material.openness = 0.35
    if hit.part == MOUTH:  # baked on the closed mouth its openness would be black
        material.albedo = wp.vec3(0.32, 0.10, 0.09)
        material.openness = 0.28
    if hit.part == SOCKET:
        material.albedo = wp.vec3(0.45, 0.20, 0.17)
        material.openness = hit.traits[2] * 0.6
    return material


@wp.func
def in_shadow(surface: Surface, look: Look, start: wp.vec3, toward: wp.vec3) -> bool:
    origin = start
    for _layer in range(3):
        query = wp.mesh_query_ray(surface.mesh, origin, toward, 8.0)
        if not query.result:
            return False
        if casts_shadow(interpolate(surface, query.face, query.u, query.v, origin), look):
            return True
        origin = origin + toward * (query.t + 0.003)
    return False


@wp.kernel
def light_vertices(surface: Surface, look: Look, lights: Lights, vertices: wp.array(dtype=wp.vec3), rays: int,
                   seed: int, lit: wp.array(dtype=wp.vec3)):
    """Soft shadows of key and fill light at each vertex: far fewer than the pixels of three views, and no grain."""
    vertex = wp.tid()
    state = wp.rand_init(seed, vertex)
    normal = surface.normals[vertex]
    start = vertices[vertex] + normal * 0.015
    result = wp.vec3(1.0, 1.0, 1.0)
    for i in range(2):
        if wp.dot(normal, lights.directions[i]) > -0.3:
            shadowed = float(0.0)
            for _ray in range(rays):
                jitter = wp.vec3(wp.randf(state) - 0.5, wp.randf(state) - 0.5, wp.randf(state) - 0.5)
                if in_shadow(surface, look, start, wp.normalize(lights.directions[i] + jitter * lights.softness)):
                    shadowed += 1.0
            result[i] = 1.0 - shadowed / float(rays)
    lit[vertex] = result


@wp.func
def shade(hit: Hit, material: Material, look: Look, lights: Lights, direction: wp.vec3) -> wp.vec3:
    """Light that leaves the hit towards the eye; `direction` is the eye's ray."""
    n = material.normal
    up = 0.5 + 0.5 * n[1]
    ambient = lights.sky * up + lights.ground * (1.0 - up) + lights.front * wp.max(0.0, n[2])
    ambient = ambient + wp.vec3(1.0, 1.0, 1.0) * (lights.sideways * n[0])
    color = wp.cw_mul(material.albedo, ambient) * material.openness
    for i in range(3):
        toward = lights.directions[i]
        cosine = wp.dot(n, toward)
        diffuse = wp.max(0.0, (cosine + material.wrap) / (1.0 + material.wrap))
        if diffuse <= 0.0:
            continue
        light = lights.colors[i] * hit.lit[i]
        reflected = wp.cw_mul(material.albedo, light) * diffuse
        if material.wrap > 0.0:  # blood shows where the light grazes
            graze = 0.5 * wp.exp(-10.0 * wp.max(0.0, cosine))
            reflected = wp.cw_mul(reflected, wp.vec3(1.0, 1.0 - graze * 0.35, 1.0 - graze * 0.5))
        color = color + reflected
        if material.gloss > 0.0:
            half_way = wp.normalize(toward - direction)
            fresnel = 0.04 + 0.96 * wp.pow(1.0 - wp.max(0.0, wp.dot(half_way, toward)), 5.0)
            lobe = (material.shininess + 8.0) * 0.125 * wp.pow(wp.max(0.0, wp.dot(n, half_way)), material.shininess)
            color = color + light * (material.gloss * lobe * fresnel * wp.max(0.0, cosine))
    if material.wrap > 0.0:
        rim = wp.pow(1.0 - wp.max(0.0, -wp.dot(n, direction)), 4.0)
        color = color + lights.sky * (rim * 0.12 * material.openness)
    return color
