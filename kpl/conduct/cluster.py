"""The Ray engine: each stage a task of a cluster, run by the same papermill command on whichever node has room.

The nodes share the project's folder, the output and the faces at the same paths (NFS or the like), so results and
checkpoints are where they belong the moment they are written: a task that dies with its node goes on from its last
checkpoint on another one. Ray sends a task again when its worker or its node dies; a stage that fails with an error is
not repeated.
"""

import os
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from kpl.conduct import notebook
from kpl.conduct.local import environment
from kpl.conduct.stages import NOTEBOOKS, Outcome, Stage, StageFailed, checksum

RETRIES = 5  # nodes that a task may lose before it counts as failed
LOOK = 5.0  # seconds between looks at the cluster's nodes


def run(
    stages: list[Stage],
    output: Path,
    timeout: float,
    address: str | None = None,
    cpus: float | None = None,
    gpus: float | None = None,
) -> Iterator[Outcome]:
    """Run the stages on a Ray cluster and yield each as it ends.

    `address` is `auto`, `host:port` or `ray://host:port`; None starts a cluster of this machine alone. Each task gets
    `gpus` GPUs (None: one, if a node has any) and `cpus` cores (None: one, or a node's share for each of its GPUs).
    Raises StageFailed if Ray is not installed, the cluster cannot be reached, or no node is large enough.
    """
    ray = _connect(address)
    try:
        nodes = alive(ray)
        cpus, gpus = resources([node["Resources"] for node in nodes.values()], cpus, gpus)
        print(f"== Ray: {len(nodes)} nodes; {cpus:g} cores and {gpus:g} GPUs for each fold", flush=True)
        token = output / f".shared.{uuid.uuid4().hex}"  # a node that sees it shares the folder
        token.touch()
        try:
            task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(_task)
            pending = {
                task.options(name=stage.label).remote(
                    stage, checksum(stage), output, token, max(1, int(cpus)), gpus, timeout
                ): stage
                for stage in stages
            }
            yield from _outcomes(ray, pending, nodes)
        finally:
            token.unlink()
    finally:
        ray.shutdown()  # ends the tasks that still run


def resources(nodes: list[dict], cpus: float | None, gpus: float | None) -> tuple[float, float]:
    """Cores and GPUs for each fold, from what is asked for and what the nodes have ({"CPU": n, "GPU": n} each)."""
    most = max(nodes, key=lambda node: node.get("GPU", 0), default={})
    if gpus is None:
        gpus = float(min(1, most.get("GPU", 0)))
    if cpus is None:
        cpus = max(1, most.get("CPU", 1) // (most["GPU"] / gpus)) if gpus and most.get("GPU") else 1
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        raise StageFailed(
            f"no node of the cluster has {cpus:g} cores and {gpus:g} GPUs: start one that has, or ask for less with "
            "--cpus-per-fold and --gpus-per-fold; the same command goes on from here."
        )
    return cpus, gpus


def alive(ray) -> dict[str, dict]:
    """The cluster's living nodes by id."""
    return {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}


def _connect(address: str | None):
    """The ray module, connected."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # two folds may well print the same line
    try:
        import ray
    except ImportError:
        raise StageFailed("Ray is not installed: run `.venv/bin/pip install -r requirements-ray.txt`.") from None
    quiet = {"logging_level": "ERROR", "log_to_driver": True}
    try:
        if address is None:
            ray.init("local", include_dashboard=False, **quiet)
        else:
            ray.init(address, **quiet)
    except (ConnectionError, TimeoutError, RuntimeError, ValueError, AssertionError) as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise StageFailed(
            f"no Ray cluster answers at {address or 'this machine'} ({why}): start it, or leave --address out."
        ) from None
    return ray


def _outcomes(ray, pending: dict, nodes: dict[str, dict]) -> Iterator[Outcome]:
    """Yield each stage as it ends, and say when a node is lost."""
    with _bar(len(pending)) as bar:
        while pending:
            done, _ = ray.wait(list(pending), num_returns=1, timeout=LOOK)
            now = alive(ray)
            for lost in nodes.keys() - now.keys():
                print(
                    f"== node {nodes[lost]['NodeManagerAddress']} is lost: its folds start again elsewhere", flush=True
                )
            nodes = now
            for reference in done:
                stage = pending.pop(reference)
                try:
                    seconds, machine, failure = ray.get(reference)
                except ray.exceptions.RayError as error:
                    why = str(error).strip().splitlines()[0]
                    seconds, machine, failure = 0.0, "", f"{stage.label} failed on the cluster: {why}"
                bar.update()
                yield Outcome(stage, seconds, failure, machine)


def _bar(total: int):
    """A progress bar on a terminal, nothing in a log."""
    from tqdm import tqdm

    return tqdm(total=total, desc="folds", disable=not sys.stdout.isatty())


def _task(
    stage: Stage, key: str, output: Path, token: Path, threads: int, gpus: float, timeout: float
) -> tuple[float, str, str]:
    """On a node: seconds, the node's name, and "" or why the stage failed."""
    started, here = time.time(), socket.gethostname()
    if not token.exists():
        failure = f"{stage.label} failed: node {here} does not see {output}: share it at the same path on every node."
        return 0.0, here, failure
    if checksum(stage) != key:
        return 0.0, here, f"{stage.label} failed: {NOTEBOOKS} on node {here} holds another version: update it."
    environ = environment(threads, gpu=None if gpus else "")  # Ray has set the GPUs that are ours
    failure = notebook.run(stage, output, environ, timeout, whole_lines=True)
    return time.time() - started, here, failure
