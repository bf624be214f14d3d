"""The benchmarks' shared parts; what each measures is tested beside its module."""

import pandas as pd

from bench import __main__ as bench
from bench import report


def test_an_unknown_benchmark_names_the_known_ones(capsys):
    assert bench.main(["everything"]) == 2
    said = capsys.readouterr().out
    assert all(name in said for name in bench.NAMES)


def test_a_published_table_says_which_machine_and_reads_back(tmp_path, capsys):
    table = pd.DataFrame({"name": ["one", "two"], "ratio": [1.0, 0.5]})
    report.publish(table, tmp_path / "new" / "table.csv")
    assert report.machine() in capsys.readouterr().out
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "new" / "table.csv", comment="#"), table)
