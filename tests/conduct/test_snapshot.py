"""All folds must have seen the same faces."""

import json

import pytest

from kpl.conduct import snapshot
from kpl.conduct.stages import StageFailed


def fold(runs, name, store):
    folder = runs / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"store": store}))


def test_a_fold_that_saw_other_faces_is_named_with_the_ways_out(tmp_path):
    fold(tmp_path, "net/fold0", "old")
    fold(tmp_path, "net/fold1", "new")
    with pytest.raises(StageFailed, match="1 of 2 folds.*net/fold0.*captures back.*--output.*delete"):
        snapshot.refuse_other_faces(tmp_path, {"new", "another recipe"})


def test_folds_of_these_faces_and_no_folds_at_all_pass(tmp_path):
    snapshot.refuse_other_faces(tmp_path / "absent", {"new", "another recipe"})
    fold(tmp_path, "net/fold0", "new")
    snapshot.refuse_other_faces(tmp_path, {"new", "another recipe"})


def test_the_fingerprint_is_the_store_s_and_a_damaged_store_says_so(tmp_path):
    (tmp_path / "done.json").write_text('{"fingerprint": "abc", "counts": {}}')
    assert snapshot.fingerprint(tmp_path) == "abc"
    (tmp_path / "done.json").write_text('{"finger')
    with pytest.raises(StageFailed, match="damaged"):
        snapshot.fingerprint(tmp_path)
