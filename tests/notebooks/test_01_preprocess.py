"""01_preprocess runs from top to bottom, as papermill runs it, and cell by cell."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import papermill
import pytest
from cells import run
from faces.made import capture, lying
from papermill.exceptions import PapermillExecutionError
from skimage import data

from kpl import faces
from kpl.config import NOTEBOOKS
from kpl.faces import orientation


def shown(folder: Path, working_directory: Path, **parameters: object) -> str:
    """Execute the notebook with papermill and return all text that it shows."""
    notebook = papermill.execute_notebook(
        NOTEBOOKS / "01_preprocess.ipynb",
        folder / "executed.ipynb",
        parameters,
        cwd=working_directory,
        progress_bar=False,
    )
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(output.get("text", "") or output["data"].get("text/plain", "") for output in outputs)


@pytest.mark.slow
def test_a_studio_data_set(tiny_captures, tmp_path):
    text = shown(tmp_path, NOTEBOOKS.parent, captures=str(tiny_captures), size=48, faces=str(tmp_path / "faces"))
    store = faces.load(tmp_path / "faces")
    count = len(list(tiny_captures.rglob("t.jpg"))) // 3
    assert store.crops.shape == (count, 3, 48, 48, 3)
    np.testing.assert_array_equal(store.known, store.table["split"] == "train")
    assert f"({count}, 3, 48, 48, 3)" in text and "landmarks_inside" in text


def test_photographs_without_truth_from_the_folder_of_the_notebooks(tmp_path):
    face = np.pad(data.astronaut()[:250, 100:350], ((60, 90), (20, 20), (0, 0)), mode="edge")
    for view in (0, 1):  # view 2 is missing
        path = tmp_path / f"mine/anna_smile/{view}/t.bmp"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), lying(face)[..., ::-1])
    given = {"captures": str(tmp_path / "mine"), "faces": str(tmp_path / "faces")}
    text = shown(tmp_path, NOTEBOOKS, size=48, jobs=1, **given)
    table = faces.load(tmp_path / "faces").table
    assert table[["sample", "subject", "expression", "split"]].values.tolist() == [
        ["anna_smile", "anna", "smile", "test"]
    ]
    assert table.loc[0, ["status0", "status1", "status2"]].tolist() == ["ok", "ok", "excluded"]
    assert "anna_smile: picture of view 2 is missing." in text and "no 2D landmarks" in text


def test_names_that_are_no_text_for_others_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(orientation, "ENOUGH", 6)
    names = [r"00001$\frac{1}$", "00002<!--<script>", "00003'\"& %", "00004_שלום", "00005_" + 150 * "x", "00006/$_$"]
    root = capture(tmp_path / r"$\frac{1}$", *names)
    store = run("01_preprocess", look=True, captures=root, faces=tmp_path / "faces", size=32, jobs=1)["store"]
    assert sorted(store.table["sample"]) == sorted(name.replace(" ", "%20") for name in names)
    assert store.seen.all()


@pytest.mark.parametrize(
    "parameters, message",
    [
        (
            {"detector": "centerface"},
            "unknown parameter 'detector': the known ones are captures, recipe, size, turn, side",
        ),
        ({"captures": "/nowhere"}, "/nowhere is not a folder"),
    ],
)
def test_bad_parameters_are_said_in_one_sentence(tmp_path, parameters, message):
    with pytest.raises(PapermillExecutionError, match=message):
        shown(tmp_path, tmp_path, **parameters)


@pytest.fixture(scope="module")
def suspicion(tiny_captures, tmp_path_factory):
    """The notebook's own."""
    folder = tmp_path_factory.mktemp("suspicion")
    return run("01_preprocess", captures=tiny_captures, faces=folder, size=16, jobs=2)["suspicion"]


@pytest.fixture
def pictures() -> pd.DataFrame:
    """Ten pictures of each view that are all alike."""
    frame = pd.DataFrame({"view": np.repeat([0, 1, 2], 10), "status": "ok", "reason": "", "score": 0.8, "roll": 0.0})
    return frame.assign(x=40.0, y=60.0, side=20.0, width=100.0, height=200.0)


@pytest.mark.parametrize(
    "name, value", [("score", 0.35), ("x", 70.0), ("y", 150.0), ("side", 60.0), ("side", 5.0), ("roll", 30.0)]
)
def test_the_odd_one_stands_off(suspicion, pictures, name, value):
    assert suspicion(pictures).abs().max() < 1e-9
    pictures.loc[26, name] = value
    odd = suspicion(pictures)
    assert odd.idxmax() == 26 and odd[26] > 3 and odd.drop(26).abs().max() < 1e-9


def test_a_high_score_is_not_odd(suspicion, pictures):
    pictures.loc[26, "score"] = 1.0
    assert suspicion(pictures).max() < 1e-9


def test_what_is_not_ok_is_most_suspicious_and_a_remark_more_than_nothing(suspicion, pictures):
    pictures.loc[3, "side"] = 90.0
    pictures.loc[7, "status"] = "fallback"
    pictures.loc[8, ["status", "x", "y", "side", "width", "height"]] = ["excluded", *[np.nan] * 5]
    pictures.loc[14, "reason"] = "the main one of 2 faces"
    odd = suspicion(pictures)
    assert np.isinf(odd[[7, 8]]).all() and np.isfinite(odd.drop([7, 8])).all()
    assert odd[3] > odd[14] == 5 and odd.drop([3, 7, 8, 14]).abs().max() < 1e-9


def test_pictures_none_of_which_is_ok_are_all_suspicious(suspicion, pictures):
    assert np.isinf(suspicion(pictures.assign(status="fallback"))).all()


def test_exchanged_pictures_and_another_person_s_get_a_remark_and_others_none(tiny_captures, tmp_path):
    root = tmp_path / "captures"
    shutil.copytree(tiny_captures, root)
    swapped, mixed = (root / subject / "03" / "Images" for subject in ("00001", "00002"))
    for view in ("0", "1", "2"):
        shutil.copy(tiny_captures / "00001" / "03" / "Images" / str(2 - int(view)) / "t.jpg", swapped / view)
    shutil.copy(tiny_captures / "00004" / "03" / "Images" / "0" / "t.jpg", mixed / "0")
    shutil.copy(tiny_captures / "00005" / "03" / "Images" / "2" / "t.jpg", mixed / "2")
    people = run("01_preprocess", look=True, captures=root, faces=tmp_path / "faces", jobs=1)["people"]
    remarks = people.set_index("sample")["remark"]
    assert remarks["00001/03"] == "cameras in another order" and remarks["00002/03"] == "do not fit together"
    assert (remarks != "").sum() < 0.15 * len(remarks)
