"""The module that is called, and its command."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import kpl
from kpl import released

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("first", ["kpl", "kpl.predict", "kpl.released", "kpl.release"])
def test_predict_can_be_called_whatever_was_imported_before(first, triple, weights, monkeypatch):
    monkeypatch.delitem(sys.modules, "kpl.predict", raising=False)
    monkeypatch.delattr(kpl, "predict", raising=False)
    importlib.import_module(first)
    expected = released.predict(*triple, weights=weights).landmarks
    np.testing.assert_array_equal(kpl.predict(*triple, weights=weights).landmarks, expected)
    from kpl import predict

    np.testing.assert_array_equal(predict(*triple, weights=weights).landmarks, expected)


def test_importing_the_package_is_light():
    code = "import sys, kpl; sys.exit(bool({'torch', 'cv2', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_command_writes_landmarks_and_a_drawing(triple, weights, tmp_path):
    command = [sys.executable, "-m", "kpl.predict", *triple, "--weights", str(weights)]
    command += ["--out", str(tmp_path / "new" / "face.json"), "--picture", str(tmp_path / "face.PNG")]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert ran.returncode == 0, ran.stderr
    found = json.loads((tmp_path / "new" / "face.json").read_text())
    expected = released.predict(*triple, weights=weights)
    np.testing.assert_allclose(found["landmarks"], expected.landmarks, atol=1e-4)
    np.testing.assert_allclose(found["cameras"]["yaw"], expected.yaw, atol=0.1)
    assert "cameras at " in ran.stdout
    assert len(found["names"]) == len(found["spread"]) == 106
    assert cv2.imread(str(tmp_path / "face.PNG")).std() > 10


def test_the_command_takes_one_picture_or_a_dash_for_a_missing_one_and_prints_what_to_doubt(triple, weights, capsys):
    from kpl import predict

    for given in ([triple[1]], ["-", triple[1], "-"]):
        predict.main([*given, "--weights", str(weights)])
        printed = capsys.readouterr()
        assert printed.out.startswith("106 landmarks") and "warning: one picture alone answers" in printed.err


def refusal(*arguments: str | Path) -> str:
    """What the command says instead of doing its work."""
    from kpl import predict

    with pytest.raises(SystemExit) as ended:
        predict.main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, str)  # which Python prints, and ends with 1
    return ended.value.code


def test_a_picture_that_is_missing_is_said(triple, weights, tmp_path):
    said = refusal("absent.jpg", *triple[1:], "--weights", weights, "--out", tmp_path / "face.json")
    assert said.startswith("kpl.predict: the left picture, absent.jpg") and not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "option, file, message",
    [
        ("--out", "", "--out is '', where no file can be"),
        ("--out", "{folder}", "where no file can be"),
        ("--out", "/dev/null", "where no file can be"),
        ("--out", "{folder}/text.txt/face.json", "cannot be written"),
        ("--out", "/proc/nowhere/face.json", "cannot be written"),
        ("--out", "{left}", "is one of the given pictures"),
        ("--picture", "", "where no file can be"),
        ("--picture", "/proc/nowhere/face.png", "cannot be written"),
        ("--picture", "{left}", "is one of the given pictures"),
        ("--picture", "{folder}/face", r"must end in one of \.png"),
        ("--picture", "{folder}/face.xyz", "must end in one of"),
        ("--picture", "{folder}/face.pgf", "must end in one of"),
    ],
)
def test_a_place_that_cannot_be_written_is_said_before_anything_is(
    option, file, message, triple, weights, tmp_path, capsys
):
    (tmp_path / "text.txt").write_text("a text")
    left = tmp_path / "left.jpg"
    left.write_bytes(Path(triple[0]).read_bytes())
    places = {"--out": str(tmp_path / "face.json"), "--picture": str(tmp_path / "face.png")}
    places[option] = file.format(folder=tmp_path, left=left)
    said = refusal(left, *triple[1:], "--weights", weights, *(part for pair in places.items() for part in pair))
    assert said.count("\n") == 0 and said.startswith(f"kpl.predict: {option}")
    assert re.search(message, said), said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["left.jpg", "text.txt"]
    assert left.read_bytes() == Path(triple[0]).read_bytes() and capsys.readouterr().out == ""
