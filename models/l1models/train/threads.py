"""How many threads the trainer may use; must be called before JAX starts its backend."""

from __future__ import annotations

import os


def limit(threads: int) -> None:
    """Let XLA's CPU backend use at most ``threads`` threads (it sizes its pools by these variables)."""
    os.environ["NPROC"] = os.environ["PJRT_NPROC"] = str(threads)
    if threads == 1:
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
