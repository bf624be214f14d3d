"""Every figure draws, shows what it is given, and takes names for what they are."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

import kpl
from draw.made import CAMERAS, seen_from, shapes_of
from kpl.landmarks import COUNT, GROUPS, MEAN_SHAPE

ODD = "$\\frac{1}$ <!--<script>"  # ends in the formula parser, or in the page's
SHAPES = shapes_of(["a", "b"], 3)
CROPS = np.random.default_rng(0).integers(0, 255, (2, 3, 24, 24, 3), np.uint8)
NME = np.random.default_rng(0).gamma(4, 0.01, 50)
MAPS = np.random.default_rng(0).random((3, COUNT, 6, 6))

FIGURES = {
    "contact_sheet": lambda d: d.contact_sheet(list(CROPS[0]), [ODD, "b", "c"]),
    "error_curves": lambda d: d.error_curves({ODD: NME, "mean_shape": 2 * NME}),
    "faces_in_3d": lambda d: d.faces_in_3d(SHAPES, [ODD, "b"], SHAPES[::-1], CROPS),
    "intervals": lambda d: d.intervals([ODD, "b"], [0.2, 0.1], [0.1, 0.0], [0.3, 0.2], ODD, line=0.1),
    "reliability": lambda d: d.reliability({ODD: (NME, NME)}),
}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.mark.parametrize("name", FIGURES)
def test_a_name_is_drawn_as_it_stands(name):
    figure = FIGURES[name](kpl.draw)
    figure.canvas.draw()
    assert any(ODD in text.get_text() and not text.get_parse_math() for text in figure.findobj(Text))


def test_a_name_of_200_characters_leaves_room_for_the_picture():
    figure = kpl.draw.contact_sheet(list(CROPS[0]), ["x" * 200] * 3, columns=3)
    figure.canvas.draw()
    assert all(axis.get_window_extent().width > 0.25 * figure.bbox.width for axis in figure.axes)


def test_a_contact_sheet_shows_every_picture_with_what_belongs_to_it():
    pictures = [np.full((40, 30, 3), 40 * i, np.uint8) for i in range(5)]
    points = [np.array([[1.0, 2.0], [3.0, 4.0]]), np.full((2, 2), np.nan)]
    boxes = [np.array([[0, 0, 10, 10], [-5, 5, 40, 50]])]
    figure = kpl.draw.contact_sheet(pictures, ["a", "b"], points, boxes, columns=3)
    shown = [axis for axis in figure.axes if axis.images]
    assert [int(axis.images[0].get_array()[0, 0, 0]) for axis in shown] == [0, 40, 80, 120, 160]
    assert [axis.get_title() for axis in shown] == ["a", "b", "", "", ""]
    assert len(figure.axes) == 6 and len(shown[0].lines) == 3 and len(shown[2].lines) == 0
    np.testing.assert_array_equal(shown[0].lines[0].get_xydata(), points[0])
    assert shown[0].get_xlim() == (0, 30) and shown[0].get_ylim() == (40, 0)
    assert not any(axis.images for axis in kpl.draw.contact_sheet([]).axes)


def test_maps_are_summed_over_the_picture_they_belong_to():
    points = np.full((3, COUNT, 2), 0.5)
    figure = kpl.draw.maps_on_picture(CROPS[0], MAPS, points)
    above, below = figure.axes[:3], figure.axes[3:]
    for view in range(3):
        np.testing.assert_array_equal(above[view].images[0].get_array(), CROPS[0, view])
        np.testing.assert_array_equal(above[view].lines[0].get_xydata(), np.full((COUNT, 2), 12.0))
        peaks = MAPS[view] / MAPS[view].max((1, 2), keepdims=True)
        np.testing.assert_array_equal(below[view].images[1].get_array(), peaks.max(0))
    summed = kpl.draw.maps_on_picture(CROPS[0], MAPS.sum(1), points)
    np.testing.assert_array_equal(summed.axes[5].images[1].get_array(), MAPS[2].sum(0))


def test_every_landmark_has_its_region_and_some_their_names():
    figure = kpl.draw.landmark_groups(MEAN_SHAPE)
    for axis, across in zip(figure.axes, (0, 2)):
        dots = {line.get_label(): line.get_xydata() for line in axis.lines if line.get_marker() == "o"}
        assert sum(map(len, dots.values())) == COUNT
        np.testing.assert_allclose(dots["lips, 20"], MEAN_SHAPE[GROUPS["lips"]][:, [across, 1]])
    assert "46 nose_tip" in {text.get_text() for text in figure.axes[0].texts}


def test_a_shape_with_its_spread_is_drawn_beside_the_crops():
    seen = np.stack([seen_from(MEAN_SHAPE, degrees) for degrees in CAMERAS.values()])
    seen[1] = np.nan  # a view that was not there
    spread = np.linspace(0, 0.1, COUNT)
    figure = kpl.draw.found_face(CROPS[0], seen, MEAN_SHAPE, spread)
    crops, sides = figure.axes[:3], figure.axes[3:]
    changed = [(axis.images[0].get_array() != CROPS[0, view]).any() for view, axis in enumerate(crops)]
    assert changed == [True, False, True]
    for axis, across in ((sides[0], 0), (sides[2], 2)):
        np.testing.assert_allclose(axis.collections[0].get_offsets(), MEAN_SHAPE[:, [across, 1]], atol=1e-9)
        np.testing.assert_array_equal(axis.collections[0].get_array(), spread)


def test_a_face_to_turn_has_every_landmark_of_the_chosen_sample():
    figure = kpl.draw.face_to_turn(SHAPES, [ODD, "x" * 200], SHAPES[::-1])
    assert [trace.name for trace in figure.data] == ["prediction", "truth", "difference"]
    (menu,) = figure.layout.updatemenus
    assert menu.buttons[0].label == "$\\frac{1}$ &lt;!--&lt;script&gt;" and len(menu.buttons[1].label) == 40
    for place, shape, truth in ((0, SHAPES[0], SHAPES[1]), (1, SHAPES[1], SHAPES[0])):
        (chosen,) = menu.buttons[place].args
        prediction, blue, between = (np.array([chosen[axis][line] for axis in "xyz"], float).T for line in range(3))
        for points, meant in ((prediction, shape), (blue, truth)):
            shown = {tuple(point) for point in points[np.isfinite(points).all(axis=1)]}
            assert shown == {tuple(point) for point in meant.round(4)}
        np.testing.assert_allclose(between[0::3][:COUNT] - between[1::3][:COUNT], shape - truth, atol=2e-4)
    np.testing.assert_allclose(np.array(figure.data[0].x, float)[:3], SHAPES[0][:3, 0], atol=1e-4)


def test_shapes_are_drawn_where_the_camera_sees_them():
    seen = np.stack([seen_from(SHAPES[0], degrees) for degrees in CAMERAS.values()])
    drawn = kpl.draw.overlaid(CROPS[0], SHAPES[1], SHAPES[0], seen)
    plain = kpl.draw.overlaid(CROPS[0], SHAPES[1], SHAPES[0], np.full_like(seen, np.nan))
    assert drawn.shape == (3, 256, 256, 3)
    aligned = kpl.score.align(SHAPES[1:], SHAPES[:1])[0]
    for view, degrees in enumerate(CAMERAS.values()):
        changed = np.argwhere((drawn[view] != plain[view]).any(axis=2))[:, ::-1]
        points = 256 * np.concatenate([seen_from(shape, degrees) for shape in (SHAPES[0], aligned)])
        np.testing.assert_allclose(changed.min(axis=0), points.min(axis=0), atol=4)
        np.testing.assert_allclose(changed.max(axis=0), points.max(axis=0), atol=4)


def test_tables_and_tiles_hold_names_not_html():
    shown = kpl.draw.table(pd.DataFrame({"name": [ODD], "nme": [0.123456]})).data
    assert "$\\frac{1}$ &lt;!--&lt;script&gt;" in shown and "0.1235" in shown
    assert "<b>&lt;i&gt;</b><br>&amp;" in kpl.draw.tiles({"&": "<i>"}).data
