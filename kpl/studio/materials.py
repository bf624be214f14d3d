"""What each part of the subject is made of: small Warp functions for `kpl.studio.render`."""

import warp as wp

from kpl.studio import canvas
from kpl.studio.hits import (
    BAND,
    BODY,
    CLOTHES,
    HAIR,
    LEFT_EYE,
    MOUTH,
    RIGHT_EYE,
    SKIN,
    SOCKET,
    TEETH,
    TONGUE,
    Hit,
    Look,
    smoothstep,
)

FRONT = wp.constant(0.55)  # wrinkles are drawn on what lies before this (dm)
HALF_WIDTH, TOP = wp.constant(canvas.HALF_WIDTH), wp.constant(canvas.TOP)

wp.set_module_options({"enable_backward": False, "fast_math": True})


@wp.struct
class Material:
    albedo: wp.vec3
    normal: wp.vec3
    gloss: float
    shininess: float
    openness: float
    wrap: float  # how far light bleeds round the terminator, as it does in skin


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
    white = wp.vec3(0.74, 0.70, 0.67) * (1.0 - 0.25 * smoothstep(0.35, 1.0, angle)) + wp.vec3(
        0.05, -0.02, -0.02
    ) * smoothstep(0.5, 1.0, angle)
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
    bend = wp.vec3(bumps, -bumps, 0.0) * look.roughness
    if hit.part == SKIN and hit.reference[2] > FRONT:
        place = wp.vec2(hit.reference[0] + HALF_WIDTH, TOP - hit.reference[1]) / (2.0 * HALF_WIDTH)
        relief = sample_atlas(look.relief, place) * smoothstep(FRONT, FRONT + 0.3, hit.reference[2])
        bend += look.turn * wp.vec3(relief[0], relief[1], 0.0)
        material.albedo = material.albedo * (1.0 - relief[2])
    material.normal = wp.normalize(hit.normal + bend)
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
        material.albedo = wp.vec3(0.42, 0.37, 0.30)
        material.gloss = 0.2
        material.openness = 0.45
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
