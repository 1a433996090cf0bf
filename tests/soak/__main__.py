"""Run the experiments, each in a process of its own, and print what came of them.

python -m tests.soak [--cases 1000] [--seed 1] [NAME ...]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

from tests.soak.experiments import EXPERIMENTS, resident

SECONDS_A_CASE, LEAST = 0.5, 120  # a process that takes longer hangs
MODULE = ("-m", "tests.soak")
GROWTH = 40  # MiB that a process may grow by after its first tenth


def child(name: str, cases: int, seed: int) -> None:
    """Do one experiment here: the last line is JSON, with the cases, the growth and what was wrong."""
    work, _ = EXPERIMENTS[name]
    wrong = list(work(max(cases // 10, 5), seed + 1))
    before = resident()
    wrong += work(cases, seed)
    print(json.dumps({"wrong": wrong, "growth": resident() - before}))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(EXPERIMENTS))
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        child(chosen.child, chosen.cases, chosen.seed)
        return
    if unknown := set(chosen.names) - set(EXPERIMENTS):
        sys.exit(f"no experiment {', '.join(sorted(unknown))}: there are {', '.join(EXPERIMENTS)}")
    print(f"seed {chosen.seed}")
    print(
        f"{'experiment':12} {'cases':>7} {'deaths':>7} {'hangs':>6} {'wrong':>6} {'growth':>9} {'time':>7}"
    )
    deaths = hangs = wrong = cases = grown = 0
    for name in chosen.names or EXPERIMENTS:
        number = max(int(chosen.cases * EXPERIMENTS[name][1]), 5)
        command = [sys.executable, *MODULE, "--child", name, "--cases", str(number)]
        started, died, hung, found, growth = time.monotonic(), 0, 0, [], 0.0
        try:
            done = subprocess.run(
                [*command, "--seed", str(chosen.seed)],
                capture_output=True,
                text=True,
                timeout=LEAST + SECONDS_A_CASE * number,
            )
            if done.returncode:
                died, found = 1, [f"exit {done.returncode}: {done.stderr[-2000:]}"]
            else:
                result = json.loads(done.stdout.splitlines()[-1])
                found, growth = result["wrong"], result["growth"]
        except subprocess.TimeoutExpired:
            hung, found = 1, ["it did not end"]
        seconds = time.monotonic() - started
        print(
            f"{name:12} {number:7} {died:7} {hung:6} {len(found):6} {growth:5.1f} MiB "
            f"{seconds:5.0f} s",
            flush=True,
        )
        for text in found[:10]:
            print(f"    {text}")
        cases, deaths, hangs, wrong = (
            cases + number,
            deaths + died,
            hangs + hung,
            wrong + len(found),
        )
        grown += growth > GROWTH
    print(f"{cases} cases: {deaths} deaths, {hangs} hangs, {wrong} wrong, {grown} grew too much")
    sys.exit(bool(deaths or hangs or wrong or grown))


if __name__ == "__main__":
    main()
