"""`bin/chaos --minutes M --seed S`."""

from __future__ import annotations

import argparse
import sys
import time

from chaos import campaign
from chaos.subject import recordings


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--seeded-path", action="store_true", help="even where recordings are")
    arguments = parser.parse_args()
    replay = [] if arguments.seeded_path else recordings()
    print(f"seed {arguments.seed}, on {'recordings' if replay else 'the seeded path'}", flush=True)
    outcome = campaign.run(
        arguments.minutes * 60, arguments.seed, replay, lambda line: print(line, flush=True)
    )
    print("\n".join(outcome.lines()))
    if not outcome.wrong:
        print("all that must be true was true")
        return 0
    print(f"\nSeed {outcome.seed}: the end of the story:")
    print("\n".join(outcome.story[-40:]))
    print("\nWrong:")
    print("\n".join(outcome.wrong))
    print(f"\nIts files: {outcome.home}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
