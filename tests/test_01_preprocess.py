"""01_preprocess runs from top to bottom, as papermill runs it."""

from pathlib import Path

import cv2
import numpy as np
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError
from skimage import data

from kpl import crop, faces

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def run(folder: Path, working_directory: Path, **parameters: object) -> str:
    """Execute the notebook and return all text that it shows."""
    notebook = papermill.execute_notebook(
        NOTEBOOKS / "01_preprocess.ipynb",
        folder / "executed.ipynb",
        parameters,
        cwd=working_directory,
        progress_bar=False,
    )
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(output.get("text", "") or output["data"].get("text/plain", "") for output in shown)


def test_a_studio_data_set(tiny_captures, tmp_path):
    text = run(tmp_path, NOTEBOOKS.parent, captures=str(tiny_captures), size=48, faces=str(tmp_path / "faces"))
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
        cv2.imwrite(str(path), crop.lying(face)[..., ::-1])
    text = run(
        tmp_path,
        NOTEBOOKS,
        captures=str(tmp_path / "mine"),
        size=48,
        faces=str(tmp_path / "faces"),
        jobs=1,
    )
    table = faces.load(tmp_path / "faces").table
    assert table[["sample", "subject", "expression", "split"]].values.tolist() == [
        ["anna_smile", "anna", "smile", "test"]
    ]
    assert table.loc[0, ["status0", "status1", "status2"]].tolist() == ["ok", "ok", "excluded"]
    assert "anna_smile: picture of view 2 is missing." in text and "no 2D landmarks" in text


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
        run(tmp_path, tmp_path, **parameters)
