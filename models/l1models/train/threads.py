"""How many threads the trainer may use; must be called before JAX starts its backend."""

from __future__ import annotations

import os

_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"


def limit(threads: int) -> None:
    """Let XLA's CPU backend use at most ``threads`` threads (it sizes its pools by these variables)."""
    os.environ["NPROC"] = os.environ["PJRT_NPROC"] = str(threads)
    flags = os.environ.get("XLA_FLAGS", "").split()
    if threads == 1 and _ONE_THREAD not in flags:
        os.environ["XLA_FLAGS"] = " ".join([*flags, _ONE_THREAD])
