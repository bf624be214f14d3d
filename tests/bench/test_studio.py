"""`bench studio` on pictures of a few pixels: what it says adds up."""

import pandas as pd
import pytest

from bench import report, studio


@pytest.mark.slow
def test_it_counts_samples_time_and_memory(tmp_path, capsys):
    out = tmp_path / "studio.csv"
    studio.main(["--subjects", "1", "--jobs", "1", "--scale", "0.05", "--crop-size", "64", "--out", str(out)])
    speeds = pd.read_csv(out, comment="#")
    assert speeds["samples"].tolist() == [7, 7]
    assert (speeds["samples/s"] > 0).all() and speeds["peak memory, GB"].between(0.1, 0.7).all()
    assert (speeds["CPU s a sample"] > 0).all()
    assert "cores" in capsys.readouterr().out


def test_memory_is_that_of_this_process():
    assert 0.01 < report.peak_memory() < 100
