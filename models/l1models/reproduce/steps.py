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
# Of the test recording's background, trained on one and tested on the others.
PROCESSES = ("W", "Z", "ttbar", "QCD")
_DEFAULTS = re.compile(r"^n?ae-events-[sm]-seed1$")
_FEWEST_REPLICAS = 40
_CROSSINGS = "-on-crossings-"
# Paths of other representations that are joined in one trigger.
_UNION = ("nae-events-s-seed1", "nae-s-cos-sin-seed1", "nae-s-cartesian-seed1")


@dataclass(frozen=True)
class Scale:
    """Events per recording, and the plans that are trained."""

    training: int
    signals: int
    calibration: int
    test: int
    zerobias: int
    # By the recording that they train on.
    plans: dict[str, tuple[str, ...]]
    replicas: int
    # Training steps of classifiers and of the flow.
    steps: int
    classifiers: tuple[str, ...]
    # Of `robustness.VARIATIONS`; none: all.
    variations: tuple[str, ...] = ()
    # Yardsticks that are fitted to the background alone.
    fitted: tuple[str, ...] = ("ht", "met", "lepton-pt", "objects", "menu", "numbers", "pca", "flow")
    # Of the generator: 0 for its own choice.
    chunk_events: int = 0


SCALES = {
    "full": Scale(
        600_000,
        100_000,
        1_250_000,
        3_000_000,
        1_000_000,
        {"train": ("results.yaml", "robustness.yaml", "representations.yaml"), "zerobias-even": ("crossings.yaml",)},
        200,
        6000,
        SIGNALS,
    ),
    # What a test runs: every kind of step, and no figure of it means anything.
    "small": Scale(
        1_500, 100, 600, 800, 0, {"train": ("small.yaml",)}, 40, 50, ("A4l",), ("jets-up",), ("menu", "numbers"), 200
    ),
}


@dataclass(frozen=True)
class Step:
    """``command``: a verb of `models/run`, or of `nae-trigger` where ``node`` is set; ``makes``: its files.

    ``needs``: files that other steps made. A step that makes ``data`` (recordings, trainings) is not run again to
    bring a table up to date.
    """

    name: str
    command: tuple[str, ...]
    makes: tuple[Path, ...]
    needs: tuple[Path, ...] = ()
    node: bool = False
    data: bool = False


def steps(scale: Scale, out: Path, configurations: Path, plans: Path, workers: int) -> list[Step]:
    """All steps in an order in which each finds what it needs."""
    recordings = _recordings(scale, out, workers)
    studies, bundles = _studies(scale, out, configurations, plans)
    defaults = {name: folder for name, folder in bundles.items() if _DEFAULTS.match(name)}
    calibrations = [
        _node(
            f"calibrate-{name}",
            ["calibrate", "--model", str(folder), "--background", str(out / "calibration.h5")]
            + [word for rate in RATES for word in ("--target-rate", rate)],
            folder / "calibration.json",
            (folder / "manifest.json", out / "calibration.h5"),
        )
        for name, folder in [("menu", out / "references" / "menu"), *defaults.items()]
    ]
    evaluations = _Evaluations(scale, out, bundles).steps()
    return [*recordings, *studies, *_references(scale, out), *calibrations, *evaluations, _cards(out, defaults)]


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
        command = ("generate", *options, "--workers", str(workers), "--out", str(path))
        made.append(Step(name, command, (path,), data=True))
    files = [path for step in made for path in step.makes]
    report = out / "validation"
    command = ("validate", *map(str, files), "--out", str(report))
    made.append(Step("validation", command, (report / "validation.json",), tuple(files)))
    parts = [("signals", one, one, "all") for one in SIGNALS]
    parts += [("signals", one, f"{one}-odd", "odd") for one in scale.classifiers]
    parts += [("test", one, f"test-{one}", "all") for one in PROCESSES]
    # Crossings to train on, and crossings to test that.
    parts += [("zerobias", "zerobias", f"zerobias-{half}", half) for half in ("even", "odd") if scale.zerobias]
    for source, process, name, groups in parts:
        path, whole = out / f"{name}.h5", out / f"{source}.h5"
        options = ["vary", str(whole), "--process", process, "--groups", groups, "--out", str(path)]
        made.append(Step(name, tuple(options), (path,), (whole,)))
    return made


def _studies(scale: Scale, out: Path, configurations: Path, plans: Path) -> tuple[list[Step], dict[str, Path]]:
    made: list[Step] = []
    bundles: dict[str, Path] = {}
    for recording, name in [(recording, name) for recording, names in scale.plans.items() for name in names]:
        planned = [item.name for item in plan.load(plans / name, configurations)]
        folders = {item: out / "runs" / item / "bundle" for item in planned}
        bundles |= folders
        options = [
            "study",
            str(plans / name),
            "--background",
            str(out / f"{recording}.h5"),
            "--runs",
            str(out / "runs"),
        ]
        signal = ["--signal", str(out / "signals.h5")]
        made.append(
            Step(
                f"study-{name}",
                (*options, *signal),
                tuple(folder / "manifest.json" for folder in folders.values()),
                data=True,
            )
        )
    return made, bundles


def _references(scale: Scale, out: Path) -> list[Step]:
    made = []
    trained = ["--steps", str(scale.steps)]
    kinds = [(kind, kind, trained if kind == "flow" else []) for kind in scale.fitted]
    for signal in scale.classifiers:
        options = ["--signal", str(out / "signals.h5"), "--process", signal, *trained]
        kinds.append(("classifier", f"classifier-{signal}", options))
    for kind, name, options in kinds:
        folder = out / "references" / name
        command = ["reference", "--kind", kind, "--background", str(out / "train.h5"), *options, "--out", str(folder)]
        made.append(Step(name, tuple(command), (folder / "manifest.json",), data=True))
    return made


def _cards(out: Path, defaults: dict[str, Path]) -> Step:
    """What the default bundles find, into their cards."""
    command = ["report", *(word for folder in defaults.values() for word in ("--bundle", str(folder)))]
    command += ["--background", str(out / "test.h5"), "--out", str(out / "report"), "--cards"]
    command += [word for signal in SIGNALS for word in ("--signal", f"{signal}={out / signal}.h5")]
    needs = [folder / "manifest.json" for folder in defaults.values()] + [out / "test.h5"]
    return Step("cards", tuple(command), (out / "report" / "report.json",), tuple(needs))


@dataclass(frozen=True)
class _Evaluations:
    """The evaluations of ``bundles`` (by the name of their run) and of the yardsticks."""

    scale: Scale
    out: Path
    bundles: dict[str, Path]

    def steps(self) -> list[Step]:
        """Every model on the test recording; the default ones on crossings; the trained on one process on others."""
        references = {name: self.out / "references" / name for name in self.scale.fitted}
        made = [self._one("references", list(references.values()), beyond=True)]
        for signal in self.scale.classifiers:
            folder = self.out / "references" / f"classifier-{signal}"
            made.append(self._one(f"classifier-{signal}", [folder], signals={signal: f"{signal}-odd"}))
        pairs = {name: opponent(name) for name in self.bundles if _CROSSINGS not in name}
        for name in pairs:
            folder = self.bundles[name]
            competing = [self.bundles[one] for one, other in pairs.items() if other == name and one != name]
            if competing:
                made.append(self._one(name, competing, beyond=True, against=folder))
            elif pairs[name] == name or pairs[name] not in self.bundles:
                made.append(self._one(name, [folder], beyond=True))
            if _DEFAULTS.match(name) and name.startswith("nae"):
                made.append(self._one(f"union-{name}", [folder, references["menu"]], union=True))
        if set(_UNION) <= set(self.bundles):
            made.append(self._one("union-representations", [self.bundles[one] for one in _UNION], union=True))
        for process in PROCESSES:
            trained = [folder for name, folder in self.bundles.items() if f"-on-{process}-" in name]
            if trained:
                others = {one: f"test-{one}" for one in PROCESSES if one != process}
                made.append(self._one(f"inverse-{process}", trained, background=f"test-{process}", signals=others))
        if self.scale.zerobias:
            defaults = [folder for name, folder in self.bundles.items() if _DEFAULTS.match(name)]
            made.append(self._one("zerobias", [*defaults, references["menu"]], background="zerobias"))
            trained = [folder for name, folder in self.bundles.items() if _CROSSINGS in name]
            # Every signal event has a lepton over the filter's threshold: a cut on its momentum has to be beaten.
            yardsticks = [references["menu"], references["lepton-pt"]]
            made.append(self._one("zerobias-trained", [*trained, *yardsticks], background="zerobias-odd"))
        return made

    def _one(
        self,
        name: str,
        folders: list[Path],
        background: str = "test",
        signals: dict[str, str] | None = None,
        beyond: bool = False,
        against: Path | None = None,
        union: bool = False,
    ) -> Step:
        out, menu = self.out, self.out / "references" / "menu"
        path = out / "evaluations" / f"{name}.json"
        files = {signal: out / f"{file}.h5" for signal, file in (signals or {one: one for one in SIGNALS}).items()}
        command = ["evaluate", *(word for folder in folders for word in ("--model", str(folder)))]
        # Of later seeds means are quoted, with intervals averaged over seeds.
        later = re.search(r"-seed(?!1$)\d+$", name)
        replicas = max(_FEWEST_REPLICAS, self.scale.replicas // 4) if later else self.scale.replicas
        command += ["--background", str(out / f"{background}.h5"), "--replicas", str(replicas)]
        command += [word for signal, file in files.items() for word in ("--signal", f"{signal}={file}")]
        needs = [folder / "manifest.json" for folder in [*folders, *([against] if against else [])]]
        needs += [out / f"{background}.h5", *files.values()]
        if beyond:
            command += ["--beyond", f"{menu}@{MENU_RATE}"]
            needs.append(menu / "calibration.json")
        command += ["--against", str(against)] if against else []
        command += ["--union"] if union else []
        return _node(f"evaluate-{name}", [*command, "--json", str(path)], path, tuple(needs))


def opponent(name: str) -> str:
    """The plain autoencoder of the same size, seed and training set, which a run is compared with event by event."""
    # One on a changed training set is compared with one on the same.
    changed = re.sub(r"^n?ae(-energy)?-s-(?=a4l-|on-)", "ae-s-", name)
    return re.sub(r"^n?ae-(events|energy|counting)-", "ae-events-", changed)


def _node(name: str, command: list[str], makes: Path, needs: tuple[Path, ...]) -> Step:
    return Step(name, tuple(command), (makes,), needs, node=True)
