import matplotlib.pyplot as plt
import numpy as np

from kpl import plots


def test_a_contact_sheet_shows_every_picture_with_what_belongs_to_it():
    pictures = [np.full((40, 30, 3), 40 * i, np.uint8) for i in range(5)]
    points = [np.array([[1.0, 2.0], [3.0, 4.0]]), np.full((2, 2), np.nan)]
    boxes = [np.array([[0, 0, 10, 10], [-5, 5, 40, 50]])]
    figure = plots.contact_sheet(pictures, ["a", "b"], points, boxes, columns=3)
    shown = [axis for axis in figure.axes if axis.images]
    assert [int(axis.images[0].get_array()[0, 0, 0]) for axis in shown] == [0, 40, 80, 120, 160]
    assert [axis.get_title() for axis in shown] == ["a", "b", "", "", ""]
    assert len(figure.axes) == 6 and len(shown[0].lines) == 3 and len(shown[2].lines) == 0
    np.testing.assert_array_equal(shown[0].lines[0].get_xydata(), points[0])
    assert shown[0].get_xlim() == (0, 30) and shown[0].get_ylim() == (40, 0)
    plt.close(figure)


def test_a_contact_sheet_may_be_empty():
    figure = plots.contact_sheet([])
    assert not any(axis.images for axis in figure.axes)
    plt.close(figure)
