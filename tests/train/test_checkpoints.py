import pytest
import torch

from kpl.train import checkpoints


def state(step):
    return {
        "network": {"weight": torch.full((50,), float(step))},
        "progress": {"step": step, "history": [{"nme": 0.1}]},
    }


def test_the_newest_comes_back_and_two_are_kept(tmp_path):
    for step in (3, 6, 9):
        checkpoints.save(tmp_path, step, state(step))
    found = checkpoints.newest(tmp_path)
    assert found["progress"] == state(9)["progress"] and (found["network"]["weight"] == 9).all()
    assert [file.name.split(".")[0] for file in checkpoints.files(tmp_path)] == ["000000009", "000000006"]


@pytest.mark.parametrize("damage", ["cut", "bit", "empty"])
def test_a_damaged_one_is_said_and_the_one_before_it_is_used(tmp_path, caplog, damage):
    for step in (3, 6):
        checkpoints.save(tmp_path, step, state(step))
    newest = checkpoints.files(tmp_path)[0]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes({"cut": content[:-100], "bit": content, "empty": b""}[damage])
    assert checkpoints.newest(tmp_path)["progress"]["step"] == 3
    assert f"{newest} is damaged" in caplog.text
    checkpoints.save(tmp_path, 6, state(6))  # the run passes there again, and leaves two sound ones
    assert checkpoints.newest(tmp_path)["progress"]["step"] == 6
    checkpoints.files(tmp_path)[0].unlink()
    assert checkpoints.newest(tmp_path)["progress"]["step"] == 3


def test_without_any_there_is_none_and_left_overs_of_a_kill_go(tmp_path):
    assert checkpoints.newest(tmp_path) is None
    left_over = tmp_path / "checkpoints" / ".000000003.abc.77.tmp.pt"
    left_over.parent.mkdir()
    left_over.write_bytes(b"half")
    assert checkpoints.newest(tmp_path) is None
    checkpoints.save(tmp_path, 3, state(3))
    assert len(list(left_over.parent.iterdir())) == 1
