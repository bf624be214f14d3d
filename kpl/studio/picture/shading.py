"""Light on what a ray has hit, and its shadows: small Warp functions for `kpl.studio.picture.render`."""

import warp as wp

from kpl.studio.picture.hits import FRAME, GARMENT, LOCK, Hit, Look, Surface, casts_shadow, interpolate
from kpl.studio.picture.materials import Material

wp.set_module_options({"enable_backward": False, "fast_math": True})


@wp.struct
class Lights:
    directions: wp.mat33  # rows: key, fill, rim
    colors: wp.mat33
    sky: wp.vec3
    ground: wp.vec3
    front: wp.vec3
    sideways: float
    softness: float


@wp.func
def in_shadow(surface: Surface, look: Look, start: wp.vec3, toward: wp.vec3) -> bool:
    origin = start
    for _layer in range(3):
        query = wp.mesh_query_ray(surface.mesh, origin, toward, 8.0)
        if not query.result:
            return False
        part = surface.part[query.face]
        if part == LOCK or part == FRAME or part == GARMENT:
            return True
        if casts_shadow(interpolate(surface, query.face, query.u, query.v, origin), look):
            return True
        origin = origin + toward * (query.t + 0.003)
    return False


@wp.kernel
def light_vertices(
    surface: Surface,
    look: Look,
    lights: Lights,
    vertices: wp.array(dtype=wp.vec3),
    rays: int,
    seed: int,
    lit: wp.array(dtype=wp.vec3),
):
    """Soft shadows of key and fill light at each vertex: far fewer than the pixels of three views, and no
    grain."""
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
                toward = wp.normalize(lights.directions[i] + jitter * lights.softness)
                if in_shadow(surface, look, start, toward):
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
        if wp.dot(material.strand, material.strand) > 0.0:  # Kajiya and Kay (1989): a band across the strands
            half_way = wp.normalize(toward - direction)
            along = wp.dot(material.strand, half_way)
            band = wp.pow(wp.sqrt(wp.max(0.0, 1.0 - along * along)), material.shininess)
            color = color + light * (material.gloss * 0.05 * band * diffuse)
        elif material.gloss > 0.0:
            half_way = wp.normalize(toward - direction)
            fresnel = 0.04 + 0.96 * wp.pow(1.0 - wp.max(0.0, wp.dot(half_way, toward)), 5.0)
            lobe = (material.shininess + 8.0) * 0.125
            lobe *= wp.pow(wp.max(0.0, wp.dot(n, half_way)), material.shininess)
            color = color + light * (material.gloss * lobe * fresnel * wp.max(0.0, cosine))
    if material.wrap > 0.0:
        rim = wp.pow(1.0 - wp.max(0.0, -wp.dot(n, direction)), 4.0)
        color = color + lights.sky * (rim * 0.12 * material.openness)
    return color


@wp.func
def lens_glint(hit: Hit, lights: Lights, direction: wp.vec3) -> wp.vec3:
    """Light that a thin lens mirrors towards the eye: the room's, and the lamps' where they stand right."""
    n = hit.normal
    cosine = wp.dot(n, direction)
    mirrored = direction - n * (2.0 * cosine)
    share = 0.03 + 0.97 * wp.pow(1.0 - wp.abs(cosine), 5.0)
    color = lights.sky * (0.5 + 0.5 * mirrored[1]) + lights.front * wp.max(0.0, mirrored[2])
    for i in range(3):
        color = color + lights.colors[i] * (4.0 * wp.pow(wp.max(0.0, wp.dot(mirrored, lights.directions[i])), 60.0))
    return color * share
