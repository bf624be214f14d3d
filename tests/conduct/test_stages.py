"""What is finished is not repeated; what fails does not take the others with it."""

import errno
import os

import pytest

from kpl.conduct import stages
from kpl.conduct.stages import Outcome, Stage, StageFailed, run_stages

FOLDS = [Stage(f"fold{k}", "02_train_fold", {"fold": k}, "faces") for k in range(4)]


@pytest.fixture
def output(tmp_path):
    (tmp_path / "notebooks").mkdir()
    return tmp_path


def engine(failures: dict[str, str], ran: list[str]):
    """An engine that notes what it is given; `failures` by label."""

    def run(waiting, output):
        for stage in waiting:
            ran.append(stage.label)
            yield Outcome(stage, 1.0, failures.get(stage.label, ""))

    return run


def test_a_failure_leaves_the_others_running_and_only_what_is_missing_runs_again(output, capsys):
    ran = []
    with pytest.raises(StageFailed, match="fold1 failed: no.*3 of 4 such stages are finished and kept.*goes on"):
        run_stages(FOLDS, output, engine({"fold1": "fold1 failed: no"}, ran))
    assert ran == ["fold0", "fold1", "fold2", "fold3"]
    ran.clear()
    run_stages(FOLDS, output, engine({}, ran))
    assert ran == ["fold1"] and "(4 of 4 finished)" in capsys.readouterr().out


def test_several_failures_are_one_sentence_each_and_one_at_the_end(output, capsys):
    with pytest.raises(StageFailed, match="fold0 failed: a; so did 1 others, see above; 2 of 4"):
        run_stages(FOLDS, output, engine({"fold0": "fold0 failed: a", "fold2": "fold2 failed: b"}, []))
    assert "fold2 failed: b; the others go on" in capsys.readouterr().out


def test_a_full_disk_stops_the_others_and_says_where_and_how_much_is_free(output):
    ran = []
    full = f"fold1 failed: OSError: [Errno 28] {os.strerror(errno.ENOSPC)}"
    with pytest.raises(StageFailed, match=r"the disk at / has .* of .* free: make room; 1 of 4") as failed:
        run_stages(FOLDS, output, engine({"fold1": full}, ran))
    assert ran == ["fold0", "fold1"] and str(failed.value).count("goes on from here") == 1


def test_other_parameters_other_inputs_or_another_notebook_are_another_stage(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "NOTEBOOKS", tmp_path)
    (tmp_path / "02_train_fold.ipynb").write_text("{}")
    first = stages.checksum(FOLDS[0])
    assert stages.checksum(FOLDS[1]) != first
    assert stages.checksum(Stage("fold0", "02_train_fold", {"fold": 0}, "other faces")) != first
    (tmp_path / "02_train_fold.ipynb").write_text("{ }")
    assert stages.checksum(FOLDS[0]) != first


def test_a_listing_sees_a_changed_an_added_and_a_renamed_file(tmp_path):
    (tmp_path / "a").write_text("1")
    seen = [stages.listing(tmp_path)]
    (tmp_path / "a").write_text("22")
    seen.append(stages.listing(tmp_path))
    (tmp_path / "b").write_text("1")
    seen.append(stages.listing(tmp_path))
    (tmp_path / "b").rename(tmp_path / "c")
    seen.append(stages.listing(tmp_path))
    assert len(set(seen)) == 4
