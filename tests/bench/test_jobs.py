"""`bench jobs`: what it makes of speeds, and that it trains."""

import pandas as pd
import pytest

from bench import jobs
from kpl.errors import BadInput


@pytest.mark.parametrize("cores, expected", [(1, [1]), (2, [2, 1]), (8, [8, 4, 1])])
def test_every_contender_comes_once_and_one_fold_at_a_time_is_among_them(cores, expected):
    assert jobs.contenders(cores) == expected


def test_ratios_are_of_the_same_round():
    speeds = {("net:64", 2, 0): 30.0, ("net:64", 2, 1): 12.0, ("net:64", 1, 0): 20.0, ("net:64", 1, 1): 10.0}
    table = jobs.table(pd.Series(speeds).unstack(), 2).set_index("jobs")
    assert table.loc[1, ["ratio", "lowest", "highest"]].tolist() == [1.0, 1.0, 1.0]
    assert table.loc[2, ["threads", "samples/s"]].tolist() == [1, 21.0]
    assert table.loc[2, ["ratio", "lowest", "highest"]].tolist() == [1.35, 1.2, 1.5]


def test_a_store_that_is_not_there_is_said(tmp_path, capfd):
    with pytest.raises(BadInput, match="its message is above"):
        jobs.main(["--faces", str(tmp_path), "--networks", "mobilenetv3:32", "--rounds", "1"])
    assert "no finished store of faces" in capfd.readouterr().err


@pytest.mark.slow
def test_a_contender_trains(tiny_faces, tmp_path, monkeypatch):
    out, options = tmp_path / "jobs.csv", ["--networks", "mobilenetv3:32", "--epochs", "2", "--rounds", "1"]
    monkeypatch.setattr(jobs, "contenders", lambda count: [1])
    monkeypatch.setattr(jobs, "cores", lambda: 1)
    jobs.main(["--faces", str(tiny_faces), *options, "--out", str(out)])
    table = pd.read_csv(out, comment="#")
    assert table["jobs"].is_unique and 1 in set(table["jobs"]) and (table["samples/s"] > 0).all()
