import numpy as np
import pandas as pd
import pytest

from bench import few
from kpl import faces


def test_who_is_tested_is_never_learned_from_and_more_samples_hold_the_fewer(tiny_faces, tmp_path):
    store = faces.load(tiny_faces)
    options = few.argparse.Namespace(out=tmp_path / "few.csv", epochs=1)
    subjects = store.table["subject"][store.known].unique()
    learned = []
    for count in (7, 21):
        parameters = few.plan(store, subjects[-2:], "none", count, options)
        folds = pd.read_csv(few.Path(parameters["runs"]) / "folds.csv", dtype=str).set_index("subject")["fold"]
        learned.append(set(folds.index[folds == "1"]))
        assert not learned[-1] & set(subjects[-2:])
    assert learned[0] < learned[1]


def test_the_lamp_lights_the_left_of_each_picture_in_a_store_of_its_own(tiny_faces, tmp_path):
    store = faces.load(tiny_faces)
    lit = few.lit(store, tmp_path / "lit")
    left, right = (part.mean(axis=(0, 1, 2, 3)) for part in np.split(lit.crops / np.maximum(store.crops, 1.0), 2, axis=3))
    assert (left > 1.5 * right).all() and left[0] > left[1] > left[2]
    assert lit.table.equals(store.table) and np.array_equal(lit.points3d, store.points3d, equal_nan=True)


@pytest.mark.slow
def test_every_start_is_trained_measured_and_kept(tiny_faces, tmp_path):
    out = tmp_path / "few.csv"
    command = [
        "--faces",
        str(tiny_faces),
        "--out",
        str(out),
        "--samples",
        "50",
        "--epochs",
        "1",
        "--starts",
        "none",
    ]
    few.main(command)
    times = [file.stat().st_mtime_ns for file in sorted(tmp_path.rglob("done.json"))]
    few.main(command)
    assert len(times) == 1 and times == [file.stat().st_mtime_ns for file in sorted(tmp_path.rglob("done.json"))]
    table = pd.read_csv(out, comment="#").set_index("start")
    assert list(table.index) == ["as released", "none"] and np.isfinite(table).all().all()
    assert table.loc["as released", "to_released"] == 1 and table.loc["none", "nme"] > table.loc["as released", "nme"]
