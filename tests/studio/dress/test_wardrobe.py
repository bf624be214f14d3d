"""What subjects wear: how often, where it lies, and that the pictures show it."""

from dataclasses import replace

import numpy as np
import pytest

from kpl import landmarks
from kpl.studio.body import hair, head, people
from kpl.studio.body.people import Subject
from kpl.studio.dress import garments, glasses, wardrobe
from kpl.studio.dress import outfit as outfits
from kpl.studio.mesh.nearest import Solid
from kpl.studio.mesh.parts import Part

COUNT = 1500


def person(number: int, male: bool = True, years: float = 30.0) -> Subject:
    return Subject(7, number, male, years, np.zeros(3), {})


@pytest.fixture(scope="module")
def model(anatomy):
    """A subject, its vertices, its head at rest, its surface, and the point between its eyes."""
    subject = people.draw_subject(3, 2, anatomy.label_list)
    rest = head.rest_vertices(anatomy, subject)
    neutral = head.shape_head(anatomy, subject, rest, {})
    mesh = anatomy.triangles[np.isin(anatomy.part, (Part.SKIN, Part.BODY, Part.CLOTHES))]
    eyes = neutral.eye_centers.mean(axis=0) * [1, 1, 0]
    return subject, rest, neutral, Solid(neutral.vertices[: len(rest)], mesh), eyes


def style_where(condition, male: bool = False) -> hair.Style:
    return next(s for s in (hair.draw_style(person(n, male)) for n in range(300)) if condition(s))


def test_glasses_collars_and_styles_are_as_frequent_as_stated():
    frames = [glasses.draw_frame(person(n)) for n in range(COUNT)]
    assert abs(sum(frame is not None for frame in frames) / COUNT - 0.12) < 0.03
    kinds = [garments.draw_garment(person(n)).kind for n in range(COUNT)]
    for kind, share in (("none", 0.53), ("shirt", 0.20), ("turtleneck", 0.10), ("hood_down", 0.12), ("hood_up", 0.05)):
        assert abs(kinds.count(kind) / COUNT - share) < 0.04
    for male, share in ((True, 0.06), (False, 0.42)):
        tied = [hair.draw_style(person(n, male)).tail for n in range(COUNT)]
        assert abs(np.mean(tied) - share) < 0.05


def test_only_older_men_lose_hair():
    def recession(male: bool, years: float) -> float:
        return float(np.mean([hair.draw_style(person(n, male, years)).recession for n in range(200)]))

    assert recession(True, 25) == recession(False, 75) == 0
    assert recession(True, 70) > recession(True, 50) > 0.05


def test_a_receding_hairline_goes_back_at_the_corners_first():
    style = replace(style_where(lambda s: True), recession=1.0, thinning=0.0)
    middle, corner, behind = hair.lost(np.array([[0, 0.7, 1.3], [0.42, 0.7, 1.2], [0, 0.0, -0.9]]), style)
    assert corner > middle > behind == 0


@pytest.mark.parametrize("flow", ["whorl", "part", "back"])
def test_locks_lie_on_the_head_and_not_in_it(anatomy, model, flow):
    subject, rest, _, solid, eyes = model
    style = style_where(lambda s: s.flow == flow)
    locks = hair.grow(anatomy, subject, style, -np.inf, rest, solid, eyes)
    assert len(locks.triangles) > 1000 and np.isfinite(locks.vertices).all()
    middles = locks.vertices.reshape(-1, 2, 3).mean(axis=1)
    _, _, distance = solid.nearest(middles)
    on_head = (middles - eyes)[:, 1] > -1.0  # below, skin and clothes lie over one another
    assert (distance[on_head] > -0.02).mean() > 0.99
    assert np.linalg.norm(middles - eyes, axis=1).max() < 4.5
    again = hair.grow(anatomy, subject, style, -np.inf, rest, solid, eyes)
    assert np.array_equal(locks.vertices, again.vertices)


def test_a_fringe_covers_the_forehead_and_leaves_the_eyes(anatomy, model):
    subject, rest, _, solid, eyes = model
    style = style_where(lambda s: s.flow == "whorl" and s.fringe < 0.35)
    locks = hair.grow(anatomy, subject, style, -np.inf, rest, solid, eyes).vertices - eyes
    before = locks[(np.abs(locks[:, 0]) < 0.35) & (locks[:, 2] > 0.9)]
    lowest = before[:, 1].min()
    assert -0.1 < lowest < 0.45
    assert (before[:, 1] < 0.6).sum() > 20


def test_a_headband_holds_the_hair_before_it(anatomy, model):
    subject, rest, _, solid, eyes = model
    style = replace(style_where(lambda s: s.tail), tail=False)

    def lowest_root(held: float) -> float:
        locks = hair.grow(anatomy, subject, style, held, rest, solid, eyes).vertices - eyes
        x, y, z = locks.reshape(-1, hair._STEPS + 1, 2, 3)[:, 0].mean(axis=1).T
        return y[(z > 0.6) & (np.abs(x) < 0.4)].min()

    assert lowest_root(0.5) > lowest_root(-np.inf) + 0.15


def test_glasses_stand_before_the_eyes_and_clear_of_the_skin(model):
    _, _, neutral, solid, eyes = model
    frame = next(f for f in (glasses.draw_frame(person(n)) for n in range(200)) if f is not None)
    worn = glasses.fit(frame, neutral.landmarks, solid, eyes)
    lenses = worn.vertices[np.unique(worn.triangles[worn.part == Part.LENS])]
    centers = neutral.landmarks[list(landmarks.EYE_CENTERS)]
    assert (lenses[:, 2] > centers[:, 2].max()).all()
    for center in centers:  # each eye is behind a lens
        own = lenses[np.sign(lenses[:, 0]) == np.sign(center[0])]
        assert (own[:, :2].min(axis=0) < center[:2]).all() and (center[:2] < own[:, :2].max(axis=0)).all()
    _, _, distance = solid.nearest(lenses)
    assert distance.min() > 0.01
    assert len(glasses.fit(None, neutral.landmarks, solid, eyes).vertices) == 0


@pytest.mark.parametrize("kind", ["shirt", "turtleneck", "hood_down", "hood_up"])
def test_collars_and_hoods_leave_the_face_free(anatomy, model, kind):
    _, _, neutral, solid, eyes = model
    worn = garments.make(garments.Garment(kind, 0.5), solid, solid, eyes)
    assert len(worn.triangles) > 300 and np.isfinite(worn.vertices).all()
    near = np.linalg.norm(worn.vertices[:, None] - neutral.landmarks[33:][None], axis=2)  # all but the contour
    assert near.min() > 0.15


def test_arms_hang_and_the_face_does_not_move(anatomy):
    subject = people.draw_subject(3, 2, anatomy.label_list)
    spread = anatomy.vertices + anatomy.displacement(subject.weights)
    rest = head.rest_vertices(anatomy, subject)
    assert np.array_equal(anatomy.surface_points(spread), anatomy.surface_points(rest))
    arm = anatomy.arm_share > 0.99
    assert np.abs(rest[arm, 0]).max() < 0.75 * np.abs(spread[arm, 0]).max()
    assert rest[arm, 1].mean() < spread[arm, 1].mean() - 0.3


def test_lashes_and_teeth_have_patterns_of_their_own(anatomy):
    lashes, teeth = (anatomy.triangle_uv[anatomy.part == part] for part in (Part.LASHES, Part.TEETH))
    assert len(lashes) and lashes[..., 1].min() < 0.1 and lashes[..., 1].max() > 0.8  # from the lid to the tips
    assert teeth[..., 0].min() < -5 and teeth[..., 0].max() > 5  # half a row of teeth to each side
    assert np.allclose(teeth[..., 0].min(), -teeth[..., 0].max(), atol=1e-3)


def test_hair_is_seen_before_the_foil_and_the_landmarks_stay(photographer, monkeypatch):
    dressed = photographer.sit(3, 4).portray("01")
    monkeypatch.setattr(hair, "_COUNT", 0)
    bare = photographer.sit(3, 4).portray("01")
    assert dressed.pictures != bare.pictures
    assert np.array_equal(dressed.points2d, bare.points2d) and np.array_equal(dressed.points, bare.points)


def test_clothes_reach_up_to_a_collar_and_no_band_lies_under_a_hood():
    subject, style = person(1), style_where(lambda s: s.band)
    outfit = replace(outfits.draw_outfit(subject), band_half_width=0.15)
    plain, shirt, hood = (
        wardrobe.match(outfit, style, garments.Garment(kind, 0.5)) for kind in ("none", "shirt", "hood_up")
    )
    assert plain == outfit and shirt.collar >= -1.34 and shirt.band_half_width == 0.15
    assert hood.band_half_width < 0
