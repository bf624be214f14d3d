"""`bench studio` on pictures of a few pixels: what it says adds up."""

import pandas as pd
import pytest

from kpl.bench import studio


@pytest.mark.slow
def test_it_counts_samples_and_shares_out_the_time(tmp_path, capsys):
    out = tmp_path / "studio.csv"
    studio.main(["--subjects", "1", "--jobs", "1", "--scale", "0.05", "--crop-size", "64", "--out", str(out)])
    speeds = pd.read_csv(out, comment="#")
    assert speeds["samples"].tolist() == [7, 7]
    assert (speeds["samples/s"] > 0).all() and speeds["peak memory, GB"].between(0.1, 0.7).all()
    parts = pd.read_csv(tmp_path / "studio_parts.csv", comment="#").set_index("part")
    assert (parts > -1e-3).all().all()
    assert parts.sum().to_numpy() == pytest.approx(speeds["CPU s a sample"].to_numpy(), rel=0.6)
    assert "cores" in capsys.readouterr().out


def test_memory_is_that_of_this_process():
    assert 0.01 < studio.peak_memory() < 100
