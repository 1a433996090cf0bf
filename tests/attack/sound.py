"""Ten million hostile calls against the sound dispatchers: python -m tests.attack.sound

Prints a row for each variant by number: calls, findings, seconds. Ends with 1 if there is a finding.
"""

import argparse
import sys
import time

from hypkit import VARIANTS, attack


def main() -> int:
    """Attack every variant that dispatches by number; return how many gave a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_250_000, help="for each variant")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    keys = [key for key in VARIANTS if VARIANTS[key].numbers]
    unsound = 0
    for key in keys:
        started = time.monotonic()
        report = attack.fuzz(key, chosen.calls, seed=chosen.seed, progress=False)
        seconds = time.monotonic() - started
        print(f"{key:12}{report.calls:12,} calls  {len(report.findings)} findings {seconds:7.1f} s")
        for finding in report.findings:
            print("   ", finding)
        unsound += bool(report.findings)
    print(f"{len(keys) * chosen.calls:,} calls, {unsound} variants with a finding")
    return unsound


if __name__ == "__main__":
    sys.exit(bool(main()))
