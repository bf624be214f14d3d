"""Cores and GPUs are shared out among jobs."""

from kpl.conduct import local


def test_jobs_share_the_cores_and_get_at_least_one_thread_each():
    cores = local.cores()
    assert [local.threads(jobs) for jobs in (1, cores, 10 * cores)] == [cores, 1, 1]


def test_every_pool_of_threads_is_told_its_size_and_a_job_sees_its_gpu_only():
    environ = local.environment(3, gpu=1)
    assert {environ[f"{pool}_NUM_THREADS"] for pool in ("OMP", "MKL", "OPENBLAS")} == {"3"}
    assert environ["OPENCV_FOR_THREADS_NUM"] == "3" and environ["CUDA_VISIBLE_DEVICES"] == "1"


def test_without_a_gpu_what_is_visible_stays_so(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    assert local.environment(1)["CUDA_VISIBLE_DEVICES"] == "5"
    assert local.environment(1, gpu="")["CUDA_VISIBLE_DEVICES"] == ""
