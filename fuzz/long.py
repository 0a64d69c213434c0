"""Fuzzing for as long as one likes: ``python -m fuzz.long --seconds 3600 --processes 2``.

Each process begins with a seed of its own, which is printed, and makes case after case of it. A case that
fails is made as small as it gets and saved below ``fuzz/corpus``, from where each test run replays it; the
command that makes it again is printed. The exit status tells whether there was one.
"""

from __future__ import annotations

import argparse
import os
import secrets
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from fuzz.corpus import FOLDER, Entry, write_entry
from fuzz.minimise import minimise
from fuzz.targets import TARGETS, Case, make_case

__all__ = ["fuzz", "main", "run_one"]

SLOW = 0.5
"""Seconds for a case that nothing can justify: its bytes are a few thousand."""


def _failure(case: Case, seed: str, target: str) -> str | None:
    """What is wrong with a case: the name of the exception and where it came from; None if nothing is."""
    try:
        TARGETS[target].check(case, seed)
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {Path(frame.filename).name}, {frame.name}"
    return None


def run_one(target: str, seed: str, folder: Path = FOLDER) -> tuple[str | None, str]:
    """Make and check one case: what is wrong with it, and how it ended if nothing is."""
    case = make_case(target, seed)
    try:
        return None, TARGETS[target].check(case, seed)
    except Exception as error:
        failure = _failure(case, seed, target) or repr(error)
        small = minimise(case, lambda candidate: _failure(candidate, seed, target) == failure)
        path = folder / f"found-{target}-{seed.replace(' ', '-')}.txt"
        again = f"python -m fuzz.long --target {target} --case '{seed}'"
        write_entry(path, Entry(small, None), f"{failure}\n{again}")
        return f"{failure}\n  saved as {path}\n  {again}\n{traceback.format_exc()}", ""


def fuzz(
    seed: str, seconds: float, targets: Sequence[str], folder: Path = FOLDER
) -> tuple[Counter[str], list[str]]:
    """Case after case for so long: how many there were of each kind, and what was wrong."""
    counts: Counter[str] = Counter()
    failures: list[str] = []
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until and len(failures) < 5:
        number += 1
        target = targets[number % len(targets)]
        started = time.process_time()
        failure, ending = run_one(target, f"{seed} {number}", folder)
        if time.process_time() - started > SLOW:
            counts["slow"] += 1
        counts[target] += 1
        if failure:
            failures.append(failure)
            print(failure, flush=True)
        else:
            counts[f"{target}: {ending}"] += 1
    return counts, failures


def main() -> int:
    """Carry out the command line; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", help="begin here, instead of anywhere")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--target", choices=TARGETS, help="only this one, instead of all in turn")
    parser.add_argument("--case", help="this one case, by the seed that a failure names")
    options = parser.parse_args()
    targets = [options.target] if options.target else list(TARGETS)
    if options.case:
        failures = [failure for target in targets if (failure := run_one(target, options.case)[0])]
        print(*failures or ["nothing wrong"], sep="\n")
        return bool(failures)

    seed = options.seed or secrets.token_hex(4)
    print(f"seed {seed}: {options.processes} processes, {options.seconds:g} seconds of {', '.join(targets)}")
    counts: Counter[str] = Counter()
    failed = False
    with ProcessPoolExecutor(options.processes) as pool:
        seeds = [f"{seed}.{number}" for number in range(options.processes)]
        work = [pool.submit(fuzz, one, options.seconds, targets) for one in seeds]
        for future in work:
            found, failures = future.result()
            counts += found
            failed = failed or bool(failures)
    total = sum(counts[target] for target in targets)
    for kind, count in sorted(counts.items()):
        print(f"{count:12,} {kind}")
    print(
        f"{total:12,} cases, {total / options.seconds:,.0f} a second; {'FAILED' if failed else 'none failed'}"
    )
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
