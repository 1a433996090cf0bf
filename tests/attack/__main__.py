"""`python -m tests.attack`: the classes with their smallest examples, and the planted holes.

Prints a row for each class of outcome (what was attacked, the smallest call, how it ended), then one
for each planted hole (its kind, whether and as what it is found). Ends with 1 if a class has no
example or a hole is not found as what it is.
"""

import sys

from hypkit.attack import Outcome
from tests.attack import classes, mutants


def main() -> int:
    """Print both tables; return how much is missing."""
    missing = 0
    for outcome, example in classes.examples().items():
        if example is None:
            missing += 1
            print(f"{outcome.words:36} NO EXAMPLE")
        else:
            print(f"{outcome.words:36}{example.variant:11}{example.code:32}{example.how}")
    print(f"{len(Outcome)} classes, {missing} without an example\n")
    lost = 0
    for name, (kind, *_) in mutants.MUTANTS.items():
        found = mutants.attacked(name)
        right = mutants.right(name, found)
        lost += not right
        first = found.findings[0] if found.findings else "not found"
        print(f"{kind:9}{name:52}{'' if right else 'WRONG: '}{first}", flush=True)
    kinds = {kind for kind, *_ in mutants.MUTANTS.values()}
    print(f"{len(mutants.MUTANTS)} holes of {len(kinds)} kinds, {lost} not found as what they are")
    return missing + lost


if __name__ == "__main__":
    sys.exit(bool(main()))
