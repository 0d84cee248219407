"""What a reproduction runs, in order: every step is a command of this repository and the files that it leaves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from l1models.study import plan

SIGNALS = ("A4l", "LQ", "h0", "hpm", "Zp")
# Rate of the menu beyond which a model's efficiency is stated as well.
MENU_RATE = "1e-3"
RATES = ("1e-2", "1e-3", "1e-4", "1e-5")
# Changed detectors and mixes (options of `models/run vary`), and whether signals change too.
VARIATIONS = {
    "jets-up": (["--jet-energy", "1.05"], True),
    "jets-down": (["--jet-energy", "0.95"], True),
    "met-doubled": (["--met-resolution", "2"], True),
    "calorimeter-grid": (["--grid", "calorimeter"], True),
    "mix-qcd-half": (["--mix", "QCD=0.5"], False),
    "mix-qcd-double": (["--mix", "QCD=2"], False),
    "mix-ttbar-half": (["--mix", "ttbar=0.5"], False),
    "mix-ttbar-double": (["--mix", "ttbar=2"], False),
}


@dataclass(frozen=True)
class Scale:
    """Events per recording, and the plans that are trained."""

    training: int
    signals: int
    calibration: int
    test: int
    zerobias: int
    plans: tuple[str, ...]
    replicas: int
    classifier_steps: int
    classifiers: tuple[str, ...]
    variations: tuple[str, ...]
    # Yardsticks that are fitted to the background alone.
    fitted: tuple[str, ...] = ("ht", "met", "lepton-pt", "objects", "menu", "pca")
    # Of the generator: 0 for its own choice.
    chunk_events: int = 0


SCALES = {
    "full": Scale(
        600_000,
        100_000,
        1_250_000,
        3_000_000,
        1_000_000,
        ("results.yaml", "robustness.yaml"),
        200,
        6000,
        SIGNALS,
        tuple(VARIATIONS),
    ),
    # What a test runs: every kind of step, and no figure of it means anything.
    "small": Scale(4_000, 200, 2_000, 3_000, 0, ("small.yaml",), 40, 50, ("A4l",), ("jets-up",), ("menu", "pca"), 200),
}


@dataclass(frozen=True)
class Step:
    """``command``: a verb of `models/run`, or of `nae-trigger` where ``node`` is set; ``makes``: its files."""

    name: str
    command: tuple[str, ...]
    makes: tuple[Path, ...]
    node: bool = False


def steps(scale: Scale, out: Path, configurations: Path, plans: Path, workers: int) -> list[Step]:
    """All steps in an order in which each finds what it needs."""
    recordings = _recordings(scale, out, workers)
    studies, bundles = _studies(scale, out, configurations, plans)
    references = _references(scale, out)
    varied = _variations(scale, out)
    calibrations = [
        _node(
            f"calibrate-{name}",
            ["calibrate", "--model", str(folder), "--background", str(out / "calibration.h5")]
            + [word for rate in RATES for word in ("--target-rate", rate)],
            folder / "calibration.json",
        )
        for name, folder in [("menu", out / "references" / "menu"), *bundles.items()]
        if name == "menu" or re.search(r"-events-[sm]-seed1$", name)
    ]
    return [*recordings, *studies, *references, *varied, *calibrations, *_evaluations(scale, out, bundles)]


def _recordings(scale: Scale, out: Path, workers: int) -> list[Step]:
    made = []
    for name, options in {
        "train": ["--cocktail", "sm", "--events", str(scale.training), "--seed", "1"],
        "signals": ["--process", *SIGNALS, "--events", str(scale.signals), "--seed", "2"],
        "calibration": ["--cocktail", "sm", "--events", str(scale.calibration), "--seed", "4"],
        "test": ["--cocktail", "sm", "--events", str(scale.test), "--seed", "5"],
        "zerobias": ["--cocktail", "zerobias", "--events", str(scale.zerobias), "--seed", "6"],
    }.items():
        if options[3] == "0":
            continue
        path = out / f"{name}.h5"
        if scale.chunk_events:
            options += ["--chunk-events", str(scale.chunk_events)]
        made.append(Step(name, ("generate", *options, "--workers", str(workers), "--out", str(path)), (path,)))
    for signal, groups in [*((one, "all") for one in SIGNALS), *((one, "odd") for one in scale.classifiers)]:
        path = out / f"{signal}{'' if groups == 'all' else '-odd'}.h5"
        options = ["vary", str(out / "signals.h5"), "--process", signal, "--groups", groups, "--out", str(path)]
        made.append(Step(path.stem, tuple(options), (path,)))
    files = [str(out / f"{name}.h5") for name in ("train", "calibration", "test", "signals")]
    report = out / "validation"
    made.append(Step("validation", ("validate", *files, "--out", str(report)), (report / "validation.json",)))
    return made


def _studies(scale: Scale, out: Path, configurations: Path, plans: Path) -> tuple[list[Step], dict[str, Path]]:
    made: list[Step] = []
    bundles: dict[str, Path] = {}
    for name in scale.plans:
        planned = [item.name for item in plan.load(plans / name, configurations)]
        folders = {item: out / "runs" / item / "bundle" for item in planned}
        bundles |= folders
        options = ["study", str(plans / name), "--background", str(out / "train.h5"), "--runs", str(out / "runs")]
        signal = ["--signal", str(out / "signals.h5")]
        made.append(
            Step(f"study-{name}", (*options, *signal), tuple(folder / "manifest.json" for folder in folders.values()))
        )
    return made, bundles


def _references(scale: Scale, out: Path) -> list[Step]:
    made = []
    kinds: list[tuple[str, str, list[str]]] = [(kind, kind, []) for kind in scale.fitted]
    for signal in scale.classifiers:
        options = ["--signal", str(out / "signals.h5"), "--process", signal, "--steps", str(scale.classifier_steps)]
        kinds.append(("classifier", f"classifier-{signal}", options))
    for kind, name, options in kinds:
        folder = out / "references" / name
        command = ["reference", "--kind", kind, "--background", str(out / "train.h5"), *options, "--out", str(folder)]
        made.append(Step(name, tuple(command), (folder / "manifest.json",)))
    return made


def _variations(scale: Scale, out: Path) -> list[Step]:
    made = []
    for name in scale.variations:
        options, signals = VARIATIONS[name]
        for source in ("test", *(["signals"] if signals else [])):
            path = out / f"{source}-{name}.h5"
            made.append(Step(path.stem, ("vary", str(out / f"{source}.h5"), *options, "--out", str(path)), (path,)))
    return made


def _evaluations(scale: Scale, out: Path, bundles: dict[str, Path]) -> list[Step]:
    common = ["--background", str(out / "test.h5"), "--replicas", str(scale.replicas)]
    beyond = ["--beyond", f"{out / 'references' / 'menu'}@{MENU_RATE}"]
    whole = [word for signal in SIGNALS for word in ("--signal", f"{signal}={out / signal}.h5")]
    made = []

    def evaluation(name: str, folders: list[Path], options: list[str]) -> None:
        path = out / "evaluations" / f"{name}.json"
        models = [word for folder in folders for word in ("--model", str(folder))]
        made.append(_node(f"evaluate-{name}", ["evaluate", *models, *common, *options, "--json", str(path)], path))

    evaluation("references", [out / "references" / name for name in scale.fitted], [*whole, *beyond])
    for signal in scale.classifiers:
        folder = out / "references" / f"classifier-{signal}"
        evaluation(f"classifier-{signal}", [folder], ["--signal", f"{signal}={out / signal}-odd.h5"])
    pairs = {name: opponent(name) for name in bundles}
    for name, folder in bundles.items():
        competing = [bundles[one] for one, other in pairs.items() if other == name and one != name]
        if competing:
            evaluation(name, competing, [*whole, *beyond, "--against", str(folder)])
        elif pairs[name] == name or pairs[name] not in bundles:
            evaluation(name, [folder], [*whole, *beyond])
        if name.startswith("nae-events") and name.endswith("-seed1"):
            evaluation(f"union-{name}", [folder, out / "references" / "menu"], [*whole, "--union"])
    return made


def opponent(name: str) -> str:
    """The plain autoencoder of the same size, seed and training set, which a run is compared with event by event."""
    return re.sub(r"^n?ae-(events|energy|counting)-", "ae-events-", re.sub(r"^nae-(?!events|energy)", "ae-", name))


def _node(name: str, command: list[str], makes: Path) -> Step:
    return Step(name, tuple(command), (makes,), node=True)
