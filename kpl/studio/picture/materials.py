"""What each part of the subject is made of: small Warp functions for `kpl.studio.picture.render`."""

from typing import Any

import warp as wp

from kpl.studio.paint import canvas
from kpl.studio.picture.hits import (
    BAND,
    BODY,
    CLOTHES,
    FRAME,
    GARMENT,
    HAIR,
    LASHES,
    LEFT_EYE,
    LOCK,
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
    strand: wp.vec3  # the direction in which hair runs; zero for what is not hair


@wp.func
def sample_atlas(atlas: wp.array2d(dtype=Any), uv: wp.vec2):
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
def lock_material(hit: Hit, look: Look) -> Material:
    fine = wp.noise(look.noise_seed, wp.vec2(hit.uv[0] * 31.0, hit.uv[1] * 1.5))
    coarse = wp.noise(look.noise_seed, wp.vec2(hit.uv[0] * 2.0, 0.5))
    material = Material()
    material.albedo = look.hair * wp.max(0.2, 1.05 + 0.7 * fine + 0.35 * coarse)
    material.normal = hit.normal
    material.gloss = look.hair_gloss
    material.shininess = 60.0
    material.openness = hit.traits[2]
    material.strand = wp.normalize(hit.reference + hit.normal * (0.25 * fine + 0.1 * coarse))
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
def skin_material(hit: Hit, look: Look, atlas: wp.array2d(dtype=wp.vec4)) -> Material:
    material = Material()
    material.albedo = look.skin
    material.gloss = look.gloss
    if hit.part == SKIN:
        painted = sample_atlas(atlas, hit.uv)
        material.albedo = wp.vec3(painted[0], painted[1], painted[2])
        material.gloss = look.gloss * painted[3]
    bumps = wp.noise(look.noise_seed, hit.reference * 9.0)
    bend = wp.vec3(bumps, -bumps, 0.0) * look.roughness
    if hit.part == SKIN and hit.reference[2] > FRONT:
        place = wp.vec2(hit.reference[0] + HALF_WIDTH, TOP - hit.reference[1]) / (2.0 * HALF_WIDTH)
        relief = sample_atlas(look.relief, place) * smoothstep(FRONT, FRONT + 0.3, hit.reference[2])
        bend += look.turn * wp.vec3(relief[0], relief[1], 0.0)
        material.albedo = material.albedo * (1.0 - relief[2])
    material.normal = wp.normalize(hit.normal + bend)
    material.shininess = look.shininess
    material.openness = hit.traits[2]
    material.wrap = 0.25
    return material


@wp.func
def teeth_material(hit: Hit) -> Material:
    """The pattern's u counts teeth from the middle, its v is the distance from the bite, 1 at the gum."""
    tooth = hit.uv[0] - wp.floor(hit.uv[0]) - 0.5
    side = wp.abs(tooth) * 2.0
    gum_line = 0.95 - 0.25 * side * side  # gums reach down between the teeth
    gum = smoothstep(gum_line - 0.06, gum_line + 0.06, hit.uv[1])
    enamel = wp.vec3(0.80, 0.71, 0.57) * (1.0 - 0.6 * smoothstep(0.86, 1.0, side) - 0.15 * hit.uv[1])
    material = Material()
    material.albedo = enamel * (1.0 - gum) + wp.vec3(0.42, 0.16, 0.14) * gum
    material.normal = wp.normalize(hit.normal + wp.vec3(tooth * 0.5, 0.0, 0.0))
    material.gloss = 0.5
    material.shininess = 60.0
    material.openness = 0.14 + 0.5 * smoothstep(1.05, 1.42, hit.reference[2])  # darker towards the back
    return material


@wp.func
def material_of(hit: Hit, look: Look, atlas: wp.array2d(dtype=wp.vec4)) -> Material:
    if hit.part == SKIN or hit.part == BODY:
        return skin_material(hit, look, atlas)
    if hit.part == LEFT_EYE or hit.part == RIGHT_EYE:
        return eye_material(hit, look)
    if hit.part == HAIR:
        return hair_material(hit, look)
    if hit.part == LOCK:
        return lock_material(hit, look)
    if hit.part == CLOTHES or hit.part == GARMENT:
        return clothes_material(hit, look)
    material = Material()
    material.normal = hit.normal
    material.shininess = 50.0
    material.openness = hit.traits[2]
    if hit.part == BAND:
        material.albedo = look.band
    if hit.part == LASHES:
        material.albedo = look.hair * 0.6
        material.openness = 0.5
    if hit.part == FRAME:
        material.albedo = look.frame
        material.gloss = look.frame_gloss
        material.shininess = 80.0
    if hit.part == TEETH:
        return teeth_material(hit)
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
