"""Worker processes: one pool per piece of work, which ends with its caller, however that ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import active_children, get_context
from typing import TypeVar

Order = TypeVar("Order")


def start_worker() -> None:
    """Set up a worker process."""
    # FastJet greets on stdout, which belongs to results; Ctrl-C ends a worker without a traceback.
    os.dup2(sys.stderr.fileno(), 1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def end_on_sigterm() -> None:
    """SIGTERM becomes an exception of the main thread, so that `each` ends its workers: exit code 143."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def each(call: Callable[[Order], None], orders: Sequence[Order], workers: int) -> Generator[Order, None, None]:
    """Call with every order in worker processes; yields each order as it is finished."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=start_worker) as pool:
        running: dict[Future[None], Order] = {pool.submit(call, order): order for order in orders}
        try:
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    order = running.pop(future)
                    future.result()
                    yield order
        except BaseException:
            # Not to wait for chunks that nobody will take: a worker's chunk lasts up to a minute.
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in active_children():
                worker.terminate()
            raise
