"""Ray, started on this machine or joined where it runs, without its noise and without a call home."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from synthprint.background import processors
from synthprint.errors import BulkError, MissingDependency

STORE_BYTES = 100 << 20  # of objects that processes share on this machine: parts and shards are a line each
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_worker_niceness": "0",  # as any other program: a process of Ray would else give way to all others
    "RAY_agent_register_timeout_ms": "120000",  # of the processes of a node, on a machine that has much to do
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # an actor without a GPU leaves the variables of GPUs alone
}


def ray() -> Any:
    """The library `ray`, with its part for data, told to be quiet.

    Raises:
        MissingDependency: it is not installed.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray as library
        import ray.data
    except ImportError:
        raise MissingDependency.extra("ray", "bulk") from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return library


@contextmanager
def cluster(address: str | None, actors: int | None, gpu_share: float) -> Iterator[int]:
    """Be connected to Ray while the block runs: to the cluster at `address`, or to one of this machine alone.

    Args:
        address: such as "10.0.0.1:6379", or "auto" on a machine of the cluster; None: Ray is started here, and ended.
        actors: processes that work, each with a core.
        gpu_share: of a GPU that each has.

    Yields:
        How many processes work: `actors`, or as many as there are cores (or shares of GPUs) for. Of a cluster one core
        is left to Ray, whose own tasks would else wait for one for ever.

    Raises:
        BulkError: there is no such cluster, or it is too small.
        MissingDependency: Ray is not installed.
    """
    library = ray()
    _ray_data_quiet(library)
    if library.is_initialized():
        yield _fitting(library.cluster_resources(), actors, gpu_share)
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    if address is None:
        cores = max(actors or processors(), 1) + 1  # by Ray's count; its own tasks hardly need the last
        options |= {"num_cpus": cores, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    try:
        library.init(address=address or "local", **options)
    except Exception as error:  # of many kinds, plain `Exception` among them
        where = f"the cluster at {address}" if address else "Ray on this machine"
        raise BulkError(f"{where}: cannot be reached ({' '.join(str(error).split())[:200]})") from error
    try:
        yield _fitting(library.cluster_resources(), actors, gpu_share)
    finally:
        library.shutdown()


def _fitting(resources: dict[str, float], actors: int | None, gpu_share: float) -> int:
    most = int(resources.get("CPU", 0)) - 1
    if gpu_share:
        most = min(most, int(resources.get("GPU", 0) / gpu_share))
    if most < 1:
        raise BulkError(
            f"the cluster has {resources.get('CPU', 0):g} cores and {resources.get('GPU', 0):g} GPUs: too few"
        )
    if actors is not None and actors > most:
        raise BulkError(
            f"{actors} processes do not fit into the cluster: it has room for {most}, with one core left to Ray",
            parameter="actors",
        )
    return actors or most


def _ray_data_quiet(library: Any) -> None:
    context = library.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    context.print_on_execution_start = False
