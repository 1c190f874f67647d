"""`make soak MINUTES=15 SEED=`: prints what happened and what did not hold; ends with 1 if something did not."""

import os
import random
import sys

from tests.chaos.soak.run import soak


def main() -> None:
    """Knobs, by environment: MINUTES (15), and SEED, which chooses what happens."""
    minutes = float(os.environ.get("MINUTES") or 15)
    seed = int(os.environ.get("SEED") or random.randrange(10**6))
    sys.stderr.write(f"soak of {minutes:g} minutes, SEED={seed}\n")
    scene = soak(minutes * 60, seed)
    for what, times in sorted(scene.counts.items()):
        sys.stdout.write(f"{times:>10,} {what}\n")
    for violation in scene.violations:
        sys.stdout.write(f"VIOLATION (SEED={seed}) {violation}\n")
    sys.stdout.write(f"{len(scene.violations)} violations with SEED={seed} in {minutes:g} minutes\n")
    sys.exit(bool(scene.violations))


if __name__ == "__main__":
    main()
