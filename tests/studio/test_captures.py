"""The data set on disk: layout, truth, held-out truth, determinism, going on after a kill, refusals."""

import pickle
import shutil
import signal
import subprocess
import time

import cv2
import numpy as np
import pytest

from kpl import captures, landmarks, score
from kpl.errors import BadInput
from kpl.files import read_json
from kpl.studio.__main__ import main
from kpl.studio.dataset import noise
from kpl.studio.dataset.settings import Settings

from .conftest import contents, load_npz, run_studio, studio_command

EXPRESSIONS = [f"{number:02d}" for number in range(1, 8)]
TRAIN = [f"{subject}/{expression}" for subject in ("00001", "00002") for expression in EXPRESSIONS]
TEST = [f"50001/{expression}" for expression in EXPRESSIONS]


def listed(path):
    """(picture, box) pairs of a list file."""
    lines = path.read_text().splitlines()
    return list(zip(lines[::2], (np.array(line.split(), int) for line in lines[1::2]), strict=True))


def test_layout_is_the_competitions(data_set):
    pictures = {f"{sample}/Images/{view}/t.jpg" for sample in TRAIN + TEST for view in range(3)}
    others = {
        "train_list.txt",
        "test_list.txt",
        "train_gt.pkl",
        "points2d.npz",
        "cameras.npz",
        "studio.json",
        "subjects.csv",
        "manifest.csv",
        "held_out/test_gt.pkl",
        "held_out/points2d.npz",
        "held_out/cameras.npz",
    }
    assert set(contents(data_set)) == pictures | others
    for picture in pictures:
        assert cv2.imread(str(data_set / picture)).shape == (72, 128, 3)


def test_lists_name_every_picture_with_a_square_box_around_its_landmarks(data_set):
    for split, samples, folder in (("train", TRAIN, data_set), ("test", TEST, data_set / "held_out")):
        entries = listed(data_set / f"{split}_list.txt")
        assert [name for name, _ in entries] == [f"{s}/Images/{v}/t.jpg" for s in samples for v in range(3)]
        boxes = np.array([box for _, box in entries])
        assert np.array_equal(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        points = load_npz(folder / "points2d.npz")["points"].reshape(-1, 106, 2)
        inside = (points > boxes[:, None, :2]) & (points < boxes[:, None, 2:])
        assert inside.mean() > 0.98


def test_truth_is_in_the_canonical_frame(data_set):
    truth = pickle.loads((data_set / "train_gt.pkl").read_bytes())  # written a moment ago by this very code
    assert list(truth) == TRAIN
    shapes = np.array(list(truth.values()))
    assert shapes.shape == (14, 106, 3) and shapes.dtype == np.float64 and np.isfinite(shapes).all()
    eyes = list(landmarks.EYE_CENTERS)
    assert np.abs(shapes[:, eyes] - landmarks.MEAN_SHAPE[eyes]).max() < 0.03
    distance = np.linalg.norm(shapes[:, eyes[0]] - shapes[:, eyes[1]], axis=1)
    assert np.allclose(distance, np.linalg.norm(np.diff(landmarks.MEAN_SHAPE[eyes], axis=0)), atol=1e-9)
    assert score.nme(shapes.mean(0)[None], landmarks.MEAN_SHAPE[None])[0] < 0.12
    assert np.linalg.norm(shapes - landmarks.MEAN_SHAPE, axis=2).mean() < 0.12


def test_held_out_truth_is_kept_apart(data_set):
    held_out = pickle.loads((data_set / "held_out/test_gt.pkl").read_bytes())
    assert list(held_out) == TEST
    assert not set(held_out) & set(pickle.loads((data_set / "train_gt.pkl").read_bytes()))
    for name in ("points2d.npz", "cameras.npz"):
        assert list(load_npz(data_set / name)["samples"]) == TRAIN
        assert list(load_npz(data_set / "held_out" / name)["samples"]) == TEST
    assert not (data_set / ".done").exists()


def test_cameras_project_the_truth_onto_the_2d_landmarks(data_set):
    cameras, seen = load_npz(data_set / "cameras.npz"), load_npz(data_set / "points2d.npz")["points"]
    truth = pickle.loads((data_set / "train_gt.pkl").read_bytes())
    shapes = np.array([truth[sample] for sample in cameras["samples"]])
    rotation, translation = cameras["extrinsics"][..., :3], cameras["extrinsics"][..., 3]
    assert np.allclose(rotation @ rotation.swapaxes(-1, -2), np.eye(3), atol=1e-9)
    in_camera = np.einsum("nvij,nkj->nvki", rotation, shapes) + translation[:, :, None]
    projected = np.einsum("nvij,nvkj->nvki", cameras["intrinsics"], in_camera)
    assert np.abs(projected[..., :2] / projected[..., 2:] - seen).max() < 1e-3
    assert (in_camera[..., 2] > 0).all()


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes_with_other_jobs(data_set, tmp_path):
    out = tmp_path / "captures"
    process = subprocess.Popen(studio_command(out, "--jobs", "1"), stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(out.glob(".done/0*.npz")):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "studio.json").exists()
    finished = [path.name for path in out.glob(".done/0*.npz")]
    first = (out / "00001/01/Images/0/t.jpg").stat().st_mtime_ns
    assert finished and len(finished) < 3
    result = run_studio(out, "--jobs", "1")
    assert result.returncode == 0, result.stderr
    assert contents(out) == contents(data_set)
    assert (out / "00001/01/Images/0/t.jpg").stat().st_mtime_ns == first


def test_a_finished_set_is_left_as_it_is(data_set):
    before = {path: path.stat().st_mtime_ns for path in data_set.rglob("*")}
    assert run_studio(data_set).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in data_set.rglob("*")} == before
    assert read_json(data_set / "studio.json")["samples"] == 21


def test_a_subject_does_not_depend_on_the_others(data_set, sitting):
    portrait = sitting.portray("05")
    for view in range(3):
        assert (data_set / f"00002/05/Images/{view}/t.jpg").read_bytes() == portrait.pictures[view]


@pytest.mark.parametrize(
    "options", [("--seed", "4"), ("--scale", "0.2"), ("--train-subjects", "3"), ("--expressions", "25")]
)
def test_other_settings_are_refused(data_set, options):
    result = run_studio(data_set, *options)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1 and "was made with" in result.stderr


@pytest.mark.slow
def test_shards_one_of_them_killed_make_the_same_bytes(data_set, tmp_path):
    out = tmp_path / "captures"
    killed = subprocess.Popen(studio_command(out, "--jobs=1", "--shard=1/2"), stderr=subprocess.DEVNULL)
    while killed.poll() is None and not list(out.glob(".done/00001.*")):  # a subject is half written, or just done
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    for shard in ("2/2", "1/2"):
        assert not (out / "studio.json").exists()
        result = run_studio(out, "--jobs", "1", "--shard", shard)
        assert result.returncode == 0, result.stderr
    assert contents(out) == contents(data_set)


@pytest.mark.slow
def test_a_disk_that_fills_up_ends_it_with_one_sentence_and_no_half_written_subject(data_set, tmp_path):
    out = tmp_path / "captures"
    command = ["bash", "-c", 'ulimit -f 40; exec "$@"', "bash", *studio_command(out, "--jobs=1")]  # a record is larger
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "the disk is full" in result.stderr.splitlines()[-1]
    for subject in out.glob("[0-9]*"):
        files = {f"{subject.name}/{name}": content for name, content in contents(subject).items()}
        assert files == {n: c for n, c in contents(data_set).items() if n.startswith(subject.name)}
    assert not list(out.glob(".done/*.npz")) and not (out / "studio.json").exists()
    assert run_studio(out, "--jobs", "1").returncode == 0
    assert contents(out) == contents(data_set)


@pytest.mark.slow
def test_damage_is_repaired_to_the_same_bytes(data_set, tmp_path):
    out = tmp_path / "captures"
    shutil.copytree(data_set, out)
    (out / "00002/03/Images/1/t.jpg").unlink()
    result = run_studio(out, "--verify")
    assert result.returncode == 1 and "1 missing (00002/03/Images/1/t.jpg)" in result.stderr
    assert run_studio(out, "--repair", "--jobs", "1").returncode == 0
    assert contents(out) == contents(data_set)
    (out / "cameras.npz").write_bytes(b"")
    assert run_studio(out, "--repair", "--jobs", "2").returncode == 0
    assert contents(out) == contents(data_set)


@pytest.mark.slow
def test_label_noise_changes_the_training_landmarks_alone(data_set, tmp_path):
    out = tmp_path / "captures"
    assert run_studio(out, "--label-noise", "0.02", "--val-subjects", "1").returncode == 0
    clean, noisy = contents(data_set), contents(out)
    changed = {name for name in clean if clean[name] != noisy[name]}
    assert changed == {"train_gt.pkl", "points2d.npz", "cameras.npz", "subjects.csv", "manifest.csv", "studio.json"}
    truths = [pickle.loads(each["train_gt.pkl"]) for each in (clean, noisy)]
    stray = np.array([truths[1][name] - truths[0][name] for name in TRAIN])
    assert 0.01 < stray[:, landmarks.GROUPS["eyes"]].std() < 0.02 < stray[:, landmarks.GROUPS["contour"]].std() < 0.07
    points = load_npz(out / "points2d.npz")
    assert points["samples"].tolist() == TRAIN + [f"40001/{expression}" for expression in EXPRESSIONS]
    cameras, shapes = load_npz(out / "cameras.npz"), truths[1] | pickle.loads(noisy["val_gt.pkl"])
    for i, sample in enumerate(points["samples"]):
        seen = noise.project(shapes[sample], cameras["intrinsics"][i], cameras["extrinsics"][i])
        assert np.abs(seen - points["points"][i]).max() < 1e-3
    assert read_json(out / "studio.json")["settings"]["label_noise"] == 0.02
    assert captures.find(out)["split"].value_counts().to_dict() == {"train": 14, "val": 7, "test": 7}


@pytest.mark.parametrize("place", ["file/captures", "file"])
def test_a_folder_that_cannot_be_written_is_refused(tmp_path, place, capsys):
    (tmp_path / "file").write_text("mine")
    assert main(["--out", str(tmp_path / place)]) == 1
    assert "choose another folder" in capsys.readouterr().err.splitlines()[-1]
    assert set(contents(tmp_path)) == {"file"}


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    result = run_studio(tmp_path)
    assert result.returncode == 2 and "choose another folder" in result.stderr
    assert set(contents(tmp_path)) == {"notes.txt"}


@pytest.mark.parametrize(
    "change",
    [
        {"train_subjects": -1},
        {"train_subjects": 0, "test_subjects": 0},
        {"expressions": 8},
        {"scale": 0.0},
        {"scale": float("nan")},
        {"seed": -1},
    ],
)
def test_settings_that_make_no_data_set_are_refused(change):
    with pytest.raises(BadInput):
        Settings(**change)
