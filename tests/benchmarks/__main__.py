"""The one command of all benchmarks: `python -m tests.benchmarks NAME [...]`, and `NAME --help` says what it takes.

| name | measures | on 2 cores |
| --- | --- | --- |
| speed | time and memory of D2 and of DRoP's quotas, beside other programs | 10 minutes |
| quality | test accuracy of models that train on coresets, with clean labels and with wrong ones | 30 minutes |
| worst_class | what becomes of the worst class or group | 16 minutes |
| suspects | how well wrong labels are found, beside cleanlab | 20 minutes |
| promise | how often a certified limit of loss is broken, by simulation and on real data | 15 minutes |
| cost | what recording, embedding and digests add, and how the time grows where data are odd | 25 minutes |
| tables | nothing: writes RESULTS.md and the README's table and picture from the results in the folders | 5 seconds |

Every benchmark keeps its results in the folder of its name and writes the tables anew. A try, with fewer seeds, rounds
or rows than the tables have, is printed and not kept.
"""

import sys
from importlib import import_module

NAMES = ("speed", "quality", "worst_class", "suspects", "promise", "cost", "tables")


def main(argv: list[str]) -> None:
    name, *rest = argv or ["--help"]
    if name not in NAMES:
        sys.exit(__doc__ if name == "--help" else f"no such benchmark: {name}; there are {', '.join(NAMES)}")
    import_module(f"tests.benchmarks.{name}" if name == "tables" else f"tests.benchmarks.{name}.run").main(rest)


if __name__ == "__main__":
    main(sys.argv[1:])
