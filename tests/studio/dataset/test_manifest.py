"""The manifest: a finished set passes, and every missing, damaged or unexpected file is named."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from kpl.errors import BadInput
from kpl.files import read_json
from kpl.studio import captures
from kpl.studio.__main__ import main
from kpl.studio.dataset import manifest, records
from kpl.studio.dataset.settings import Settings

from ..conftest import contents
from ..made import make, write_records

SETTINGS = Settings(train_subjects=2, val_subjects=1, test_subjects=1)
LISTS = {"train_list.txt", "val_list.txt", "test_list.txt", "train_gt.pkl", "val_gt.pkl", "points2d.npz", "cameras.npz"}
HELD_OUT = {"held_out/test_gt.pkl", "held_out/points2d.npz", "held_out/cameras.npz"}


@pytest.fixture
def made(tmp_path):
    return make(tmp_path / "set", SETTINGS)


def test_a_finished_set_is_complete_and_every_file_is_in_the_manifest(made):
    assert not manifest.check(made, 1)
    files = set(contents(made))
    pictures = {name for name in files if name.endswith(".jpg")}
    assert len(pictures) == 3 * 28
    assert files - pictures == LISTS | HELD_OUT | {"subjects.csv", "manifest.csv", "studio.json"}
    listed = {line.split(",")[0] for line in (made / "manifest.csv").read_text().splitlines()[1:]}
    assert listed == files - {"manifest.csv", "studio.json"}


def test_every_fault_is_named_with_its_remedy(made, capsys):
    (made / "00002/03/Images/1/t.jpg").unlink()
    picture = made / "40001/01/Images/0/t.jpg"
    picture.write_bytes(picture.read_bytes()[:-9] + bytes(9))
    with open(made / "val_list.txt", "a") as file:
        file.write("\n")
    (made / "00001/notes.txt").write_text("mine")
    damage = manifest.check(made, 2)
    assert damage.missing == ["00002/03/Images/1/t.jpg"]
    assert damage.broken == ["40001/01/Images/0/t.jpg", "val_list.txt"]
    assert damage.unexpected == ["00001/notes.txt"]
    assert main(["--verify", "--out", str(made)]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    for name in (*damage.missing, *damage.broken, *damage.unexpected, "--repair"):
        assert name in said


def test_a_damaged_manifest_is_a_fault(made):
    (made / "manifest.csv").write_text((made / "manifest.csv").read_text().replace("00001/01", "00001/02", 1))
    assert manifest.check(made, 1).broken == ["manifest.csv"]
    (made / "manifest.csv").unlink()
    assert manifest.check(made, 1).missing == ["manifest.csv"]


def test_a_set_that_is_not_finished_is_no_verified_one(tmp_path):
    root = tmp_path / "set"
    write_records(root, SETTINGS, SETTINGS.numbers[:-1])
    assert not captures.finish(root, SETTINGS)
    assert main(["--verify", "--out", str(root)]) == 2
    write_records(root, SETTINGS, SETTINGS.numbers[-1:])  # the last shard, killed before it could finish
    assert main(["--verify", "--out", str(root)]) == 0
    assert contents(root) == contents(make(tmp_path / "other", SETTINGS))


def test_shards_that_end_at_once_write_the_same_bytes(tmp_path):
    wanted = contents(make(tmp_path / "one", SETTINGS))
    root = tmp_path / "many"
    write_records(root, SETTINGS, SETTINGS.numbers)
    with ThreadPoolExecutor(4) as pool:
        ends = [pool.submit(captures.make, root, SETTINGS, 1, tmp_path, (i, 4)) for i in (1, 2, 3, 4)]
        assert all(end.result() for end in ends)
    assert contents(root) == wanted


def test_a_subject_whose_folder_is_there_already_is_not_written_over(tmp_path):
    write_records(tmp_path, SETTINGS, [1])
    before = (tmp_path / "00001/01/Images/0/t.jpg").stat().st_ino
    records.path(tmp_path, 1).unlink()  # killed between the pictures and the record
    write_records(tmp_path, SETTINGS, [1])
    assert (tmp_path / "00001/01/Images/0/t.jpg").stat().st_ino == before
    assert sorted(path.name for path in (tmp_path / ".done").iterdir()) == ["00001.npz", "settings.json"]


def test_a_damaged_record_is_named(tmp_path):
    write_records(tmp_path, SETTINGS, SETTINGS.numbers)
    records.path(tmp_path, 2).write_bytes(records.path(tmp_path, 2).read_bytes()[:500])
    with pytest.raises(BadInput, match=r"00002\.npz is damaged"):
        captures.finish(tmp_path, SETTINGS)


def test_the_composition_is_told(made):
    told = read_json(made / "studio.json")["composition"]
    assert told["val"] == {"subjects": 1, "subjects_with_25_expressions": 0, "samples": 7}
    assert sum(told["subjects_by_age"].values()) == 4


def test_a_gpus_set_is_not_gone_on_with_on_a_cpu(tmp_path):
    records.claim(tmp_path, captures.described(SETTINGS, "cuda:0"))
    with pytest.raises(BadInput, match="device cuda and not cpu"):
        captures.make(tmp_path, SETTINGS, 1, tmp_path)
