"""``models/run generate``: from process names and a seed to a recording."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np

from l1models import hdf5
from l1models.errors import InputRefused
from l1models.generate import mixture, provenance, summary, zerobias
from l1models.generate.processes import BY_NAME, COCKTAILS, PROCESSES, SIGNALS
from l1models.generate.response import Response
from l1models.generate.store import Order, Store
from l1models.generate.workers import each, end_on_sigterm


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    names = ", ".join(process.name for process in PROCESSES)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--cocktail",
        choices=[*sorted(COCKTAILS), zerobias.NAME],
        help="a mixture of backgrounds (default: sm); zerobias: crossings, unfiltered",
    )
    what.add_argument("--process", nargs="+", metavar="NAME", help=f"--events of each of these instead: {names}")
    parser.add_argument("--events", type=int, required=True, metavar="N", help="events of the cocktail or per process")
    parser.add_argument("--mix", action="append", default=[], metavar="NAME=N", help="shuffle in N events of a process")
    parser.add_argument("--signals", type=int, default=0, metavar="N", help="shuffle in N events of every signal")
    parser.add_argument("--seed", type=int, default=1, help="same seed and settings: same file (default 1)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.h5", help="the recording to write")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: all cores)")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="finished chunks, reused (default: FILE.h5.work)")
    parser.add_argument("--keep-work", action="store_true", help="leave the finished chunks in place")
    parser.add_argument("--chunk-events", type=int, default=mixture.CHUNK_EVENTS, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> None:
    """Generate, shuffle, write, and print what came out."""
    # Ends the workers too, and leaves the finished chunks for the next run.
    end_on_sigterm()
    if arguments.cocktail == zerobias.NAME:
        crossings(arguments)
        return
    wanted = requested(arguments)
    if not arguments.out.parent.is_dir():
        raise InputRefused(f"--out: {arguments.out.parent} is not a folder")
    work = arguments.work or arguments.out.with_name(arguments.out.name + ".work")
    store = Store(work, arguments.seed, Response(), mixture.bank_decays(sum(wanted.values())))
    size = arguments.chunk_events
    pilots = [order for name, count in wanted.items() for order in mixture.pilots(BY_NAME[name], count, size)]
    produce(store, pilots, arguments.workers, "pilots")
    parts = {name: mixture.orders(BY_NAME[name], count, size, store) for name, count in wanted.items()}
    orders = [order for part in parts.values() for order, _ in part]
    produce(store, orders, arguments.workers, "events")
    recording = mixture.collect(store, parts, arguments.seed)
    settings = provenance.describe(store, parts, provenance.reproducing_command(arguments))
    findings = summary.summarise(recording)
    hdf5.write(arguments.out, recording, settings | {"validation": json.dumps(findings)})
    print(summary.table(findings, arguments.out))
    for part in parts.values():
        for name, rate in provenance.events_per_cpu_second(store, part).items():
            print(f"{name}: {rate:.0f} accepted events per CPU-second", file=sys.stderr)
    if not arguments.keep_work:
        store.remove(orders)


def crossings(arguments: argparse.Namespace) -> None:
    """Zero bias: crossings put together from banks of interactions."""
    if arguments.mix or arguments.signals:
        raise InputRefused("--mix, --signals: not with --cocktail zerobias, whose crossings are not filtered")
    if arguments.events < 1 or arguments.workers < 1 or arguments.seed < 0:
        raise InputRefused("--events, --workers, --seed: expected positive numbers")
    if not arguments.out.parent.is_dir():
        raise InputRefused(f"--out: {arguments.out.parent} is not a folder")
    work = arguments.work or arguments.out.with_name(arguments.out.name + ".work")
    recording, attributes = zerobias.generate(arguments.events, arguments.seed, work, arguments.workers)
    findings = summary.summarise(recording)
    command = provenance.reproducing_command(arguments)
    hdf5.write(arguments.out, recording, attributes | {"command": command, "validation": json.dumps(findings)})
    print(summary.table(findings, arguments.out))
    if not arguments.keep_work:
        for path in zerobias.files(work):
            path.unlink()
        if not any(work.iterdir()):
            work.rmdir()


def requested(arguments: argparse.Namespace) -> dict[str, int]:
    """Events per process name, in the table's order."""
    for option in ("events", "signals", "workers", "seed"):
        if getattr(arguments, option) < (1 if option == "workers" else 0):
            raise InputRefused(f"--{option}: expected a positive number, received {getattr(arguments, option)}")
    counts: dict[str, int] = {}
    if arguments.process:
        for name in arguments.process:
            counts[_known(name, "--process")] = arguments.events
    else:
        shares = COCKTAILS[arguments.cocktail or "sm"]
        parts = mixture.shared_out(arguments.events, np.array(list(shares.values())))
        counts = {name: int(part) for name, part in zip(shares, parts, strict=True)}
    extra = [(name, arguments.signals) for name in SIGNALS if arguments.signals]
    for item in arguments.mix:
        name, _, count = item.partition("=")
        if not count.isdigit():
            raise InputRefused(f"--mix: expected NAME=N, received {item!r}")
        extra.append((_known(name, "--mix"), int(count)))
    for name, count in extra:
        counts[name] = counts.get(name, 0) + count
    counts = {process.name: counts[process.name] for process in PROCESSES if counts.get(process.name)}
    if not counts:
        raise InputRefused("--events: expected at least one event, received none")
    return counts


def _known(name: str, option: str) -> str:
    if name not in BY_NAME:
        raise InputRefused(f"{option}: expected one of {', '.join(BY_NAME)}, received {name!r}")
    return name


def produce(store: Store, orders: list[Order], workers: int, what: str) -> None:
    """Make the chunks that are missing, with progress on stderr."""
    missing = [order for order in orders if not store.path(order).exists()]
    store.prepare(missing)
    total = sum(order.events for order in orders)
    done = total - sum(order.events for order in missing)
    started = time.monotonic()
    begun = done
    with closing(each(store.make, missing, min(workers, max(len(missing), 1)))) as finished:
        for order in finished:
            done += order.events
            rate = (done - begun) / (time.monotonic() - started)
            left = (total - done) / rate
            _progress(f"generate: {what} {done}/{total} ({100 * done / total:.0f} %), {rate:.0f}/s, {left:.0f} s left")
    if missing and sys.stderr.isatty():
        print(file=sys.stderr)


def _progress(line: str) -> None:
    end = "" if sys.stderr.isatty() else "\n"
    start = "\r\x1b[K" if sys.stderr.isatty() else ""
    print(start + line, end=end, file=sys.stderr, flush=True)
