"""What a fold gets of a cluster. The cluster itself is tested in test_run_all.py."""

import pytest

from kpl.conduct.cluster import resources
from kpl.conduct.stages import StageFailed

CPU_NODE = {"CPU": 16.0}
GPU_NODE = {"CPU": 32.0, "GPU": 4.0}


@pytest.mark.parametrize(
    "nodes, cpus, gpus, expected",
    [
        ([CPU_NODE], None, None, (1, 0)),
        ([CPU_NODE, GPU_NODE], None, None, (8, 1)),  # a GPU's share of its node's cores
        ([GPU_NODE], None, 2.0, (16, 2)),
        ([GPU_NODE], None, 0.5, (4, 0.5)),
        ([GPU_NODE], None, 0.0, (1, 0)),
        ([GPU_NODE], 3.0, None, (3, 1)),
        ([{"CPU": 2.0, "GPU": 8.0}], None, None, (1, 1)),
    ],
)
def test_a_fold_gets_what_is_asked_for_or_its_share_of_a_node(nodes, cpus, gpus, expected):
    assert resources(nodes, cpus, gpus) == expected


def test_no_node_that_is_large_enough_is_said_at_once():
    with pytest.raises(StageFailed, match="no node of the cluster has 1 cores and 1 GPUs"):
        resources([CPU_NODE, {"CPU": 0.0, "GPU": 2.0}], 1.0, 1.0)
    with pytest.raises(StageFailed, match="no node"):
        resources([], None, None)
