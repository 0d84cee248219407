"""One module per verb of `models/run`, each with `configure(parser)` and `run(arguments)`."""

from __future__ import annotations

import argparse
import importlib
import sys

from l1models.errors import InputRefused

# verb: (module, what it does). Modules load on use: `generate` must not pay for importing the trainer.
VERBS = {
    "generate": ("l1models.generate.verb", "simulate collisions into an HDF5 file of the ADC2021 layout"),
    "validate": (
        "l1models.validate.verb",
        "compare recordings with known physics, and with one another for shared events",
    ),
    "vary": ("l1models.vary.verb", "the same events under a changed detector response, process mix or selection"),
    "train": ("l1models.train.verb", "train a model on a background recording and write its bundle"),
    "reference": ("l1models.reference.verb", "write the bundle of a cut, a menu of cuts, PCA, a flow or a classifier"),
    "distil": ("l1models.distil.verb", "train a student that rejects what a bundle cannot accept, for run --cascade"),
    "study": ("l1models.study.verb", "train what a plan names: seeds, representations, contaminations"),
    "export": ("l1models.export.verb", "write the bundle of a finished training run again"),
    "reproduce": ("l1models.reproduce.verb", "everything from nothing: recordings, trainings, evaluations, the table"),
    "report": ("l1models.report.verb", "AUC and signal efficiencies of bundles, as table and plots"),
}


def main() -> int:
    """Parse the command line and run one verb; exit codes as in the stream: 0 done, 1 failed, 2 refused."""
    parser = argparse.ArgumentParser(prog="models/run", description=__doc__.split("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    chosen = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    for name, (module, summary) in VERBS.items():
        verb = verbs.add_parser(name, help=summary, description=summary)
        if name == chosen:
            importlib.import_module(module).configure(verb)
    arguments = parser.parse_args()
    try:
        importlib.import_module(VERBS[arguments.verb][0]).run(arguments)
    except InputRefused as refusal:
        print(f"models/run {arguments.verb}: {refusal}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
