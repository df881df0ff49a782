"""The environment variables of an executor's process tree, set before Prefect or numpy is imported."""

from __future__ import annotations


def executor_environment(prefect_api_url: str) -> dict[str, str]:
    """What the supervisor, its forkserver and all children need in ``os.environ``.

    Prefect reads its settings when it is imported, and OpenBLAS starts its threads then: apply this first.
    """
    return {
        "PREFECT_API_URL": prefect_api_url,
        # A missing server is an error in words, never a surprise server on this machine.
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # With the default of 5 a flow hangs for 144 s at its end when the server has died.
        "PREFECT_CLIENT_MAX_RETRIES": "2",
        # Lines not yet sent are lost with a killed child; the default batches for 2 s.
        "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.3",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        # An executor writes to a log; looking for words to colour takes longer than writing them.
        "PREFECT_LOGGING_COLORS": "false",
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
        # The supervisor owns the cancellation hooks, because only it knows when the child is dead.
        "PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS": "false",
        # More would start threads in the forkserver before it forks.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
