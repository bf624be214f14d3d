"""05_submit on what the notebooks before it leave, made up (draw.made); in the browser it is in draw/test_report.py."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from draw.made import ODD, faces, shapes_of, world
from safetensors.torch import save_file

import kpl
from kpl.errors import BadInput
from kpl.landmarks import GROUPS

COLUMNS = "name,split,nme,nme_low,nme_high,inner_nme,auc,failure_rate"


@pytest.fixture
def made(tmp_path):
    return world(tmp_path)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_what_is_submitted_is_what_is_scored(made, capsys):
    found = made.run()
    submitted, points = kpl.submission.read(made.parameters["submission"])
    assert submitted == list(made.truth)[24:] and "8 samples of 2 subjects, well-formed" in capsys.readouterr().out
    table = pd.read_csv(made.parameters["results"])
    assert ",".join(table.columns) == COLUMNS
    assert table["name"].tolist() == ["mean_shape", "baseline", "other", "mean", "ridge", "final"] * 2
    assert table["split"].tolist() == ["oof"] * 6 + ["test"] * 6
    truth = np.stack([made.truth[name] for name in submitted])
    assert table["nme"].iloc[-1] == pytest.approx(kpl.score.nme(points, truth).mean(), abs=1e-6)
    assert table["nme"].iloc[-2] == pytest.approx(table["nme"].iloc[-1], abs=1e-5)
    assert table["nme"].iloc[6] > table["nme"].iloc[7] > table["nme"].iloc[-1]  # mean shape, network, final
    assert found["what"] == "test subjects" and set(found["breakdowns"]) == {
        "by region",
        "by expression",
        "as seen in each view",
        "by age",
    }


def test_errors_are_put_down_to_the_right_region_and_view(made):
    """The submitted contour is moved along the middle camera's line of sight, and nothing else is wrong."""
    file = made.parameters["stack"] / "stack.npz"
    layers, shift = kpl.stack.load_stack(file), 0.1 * kpl.landmarks.EYE_DISTANCE
    test_points = np.stack([made.truth[name] for name in layers.test_samples])
    test_points[:, GROUPS["contour"], 2] += shift
    layers.test_points[:] = test_points
    layers.save(file)
    found = made.run()["breakdowns"]
    region = found["by region"].set_index("group")["error"]
    assert region["contour"] == pytest.approx(0.1, rel=0.1) and region.drop("contour").max() < 1e-5
    view = found["as seen in each view"].set_index("group")["error"]
    sides, yaws = zip(*(re.findall(r"(\w+), ([+-]\d+)°$", name)[0] for name in view.index[1:]))  # of the 2D landmarks
    assert sides == ("left", "middle", "right") and list(map(int, yaws)) == pytest.approx([40, 0, -40], abs=2)
    share = region["contour"] * len(GROUPS["contour"]) / 106
    assert view["depth"] == pytest.approx(share, rel=1e-3) and view.iloc[2] < 0.02 * share
    assert view.iloc[1] == pytest.approx(share * np.sin(np.radians(40)), rel=0.05)
    assert (
        found["by age"]["group"].tolist() == ["50-64", "65-"] and found["by expression"]["samples"].tolist() == [2] * 4
    )


def test_a_table_of_ages_with_other_columns_is_refused_in_a_sentence(made):
    (made.parameters["truth"].parent / "subjects.csv").write_text("name\n00007\n")
    with pytest.raises(BadInput, match="columns subject and age"):
        made.run()


def test_without_2d_landmarks_the_cameras_are_assumed_and_it_is_said(made):
    (made.parameters["truth"] / "points2d.npz").unlink()
    (made.parameters["truth"].parent / "subjects.csv").unlink()
    targets = made.parameters["faces"] / "targets.npz"
    arrays = kpl.files.read_npz(targets, ("samples", "points3d", "points2d", "transforms"))
    kpl.files.write_npz(targets, **arrays | {"points2d": np.full_like(arrays["points2d"], np.nan)})
    found = made.run(look=True)["breakdowns"]
    assert list(found["as seen in each view"]["group"]) == [
        "depth",
        "left, +28° assumed",
        "middle, +0° assumed",
        "right, -28° assumed",
    ]
    assert "by age" not in found


def test_without_test_samples_it_says_so_and_goes_on_out_of_fold(tmp_path, capsys):
    made = world(tmp_path, tested=0)
    found = made.run(look=True)
    assert "There is nothing to submit" in capsys.readouterr().out
    assert not made.parameters["submission"].exists()
    assert set(pd.read_csv(made.parameters["results"])["split"]) == {"oof"}
    assert found["what"] == "out of fold" and len(found["samples"]) == 32


@pytest.mark.parametrize("truth", ["", "nowhere"])
def test_test_samples_without_truth_are_submitted_and_not_scored(made, truth, capsys):
    found = made.run(look=True, truth=truth)
    assert len(kpl.submission.read(made.parameters["submission"])[0]) == 8
    assert "The truth of 0 of the 8" in capsys.readouterr().out
    assert set(pd.read_csv(made.parameters["results"])["split"]) == {"oof"} and found["what"] == "out of fold"


def test_odd_names_pass(tmp_path):
    made = world(tmp_path, subjects=ODD, tested=5)
    made.run()
    assert kpl.submission.read(made.parameters["submission"])[0] == list(made.truth)[-20:]


def untrained(folder, recipe: str) -> None:
    """A finished fold of a network that has learned nothing."""
    parts = {
        "backbone": "mobilenetv3",
        "image_size": 32,
        "fusion": "late",
        "share": "all",
        "head": "fc",
        "dropout": 0.0,
    }
    folder.mkdir(parents=True)
    save_file(kpl.networks.create(*parts.values()).state_dict(), folder / "weights.safetensors")
    kpl.files.write_json(folder / "config.json", parts | {"recipe": recipe, "batch_size": 8})
    kpl.files.write_json(folder / "done.json", {})


def test_ones_own_photographs_need_a_store_of_every_recipe(tmp_path):
    made = world(tmp_path, recipes=("centerface256", "list256"))
    names = ["me/smile", "me/frown"]
    unknown = np.full((2, 106, 3), np.nan)
    mine = faces(tmp_path / "mine" / "centerface256", names, unknown)
    with pytest.raises(BadInput, match="recipes centerface256, list256"):  # no network is there to be asked yet
        made.run(faces=mine)
    faces(tmp_path / "mine" / "list256", ["you/smile", "you/frown"], unknown, "list256")  # of other captures
    with pytest.raises(BadInput, match="recipes centerface256, list256"):
        made.run(faces=mine)

    faces(tmp_path / "two" / "list256", names[::-1], unknown, "list256")
    mine = faces(tmp_path / "two" / "centerface256", names, unknown)
    for network, recipe in (("baseline", "centerface256"), ("other", "list256")):
        for fold in range(2):
            untrained(made.parameters["runs"] / network / f"fold{fold}", recipe)
    found = made.run(faces=mine)
    assert kpl.submission.read(made.parameters["submission"])[0] == names
    assert found["what"] == "out of fold" and not found["ours"]


def test_a_name_that_two_people_share_is_not_scored(made):
    """Another store with the very samples' names: whose truth it is cannot be known."""
    names = list(made.truth)[24:]
    mine = faces(made.parameters["results"].parent / "mine", names, shapes_of(names, 9))
    for network in ("baseline", "other"):
        untrained(made.parameters["runs"] / network / "fold0", "centerface256")
    assert made.run(faces=mine)["what"] == "out of fold"
