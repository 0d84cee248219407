"""The tables of the results, as Markdown, from what `nae-trigger evaluate` wrote."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from l1models.reproduce.row import Row
from l1models.reproduce.steps import SIGNALS

_SEED = re.compile(r"-seed\d+$")
_OTHER_SEED = re.compile(r"-seed(?!1$)\d+$")
_RATES = ("1e-3", "1e-4", "1e-5")
Evaluation = dict[str, Any]


def without_seed(model: str) -> str:
    """A model's name, whatever its seed."""
    return _SEED.sub("", model)


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(header)
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _each(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Every evaluated model once, by name; of a model that is in several evaluations the first."""
    found: dict[str, Evaluation] = {}
    for evaluation in evaluations:
        if "union" not in evaluation:
            for one in [evaluation, *evaluation["further_models"]]:
                found.setdefault(one["model"], one)
    return [found[name] for name in sorted(found)]


def absolute(rows: dict[tuple[str, str], Row]) -> str:
    """AUC and efficiencies of every model: mean and spread over seeds, or value and interval of the one there is."""
    lines = []
    for model in sorted({model for model, _ in rows}):
        own = {signal: rows[model, signal] for signal in SIGNALS if (model, signal) in rows}
        seeds = len(next(iter(own.values())).auc)
        areas = [_spread(own[s].auc, own[s].auc_error) if s in own else "" for s in SIGNALS]
        lines.append([model, str(seeds), "AUC", *areas])
        for at, rate in enumerate(_RATES):
            mark = " *" if next(iter(own.values())).passing[at] < 10 else ""
            cells = [_percent(own[s], at) if s in own else "" for s in SIGNALS]
            lines.append(["", "", f"% at {rate}{mark}", *cells])
    return _table(["model", "seeds", "quantity", *SIGNALS], lines)


def _spread(values: list[float], error: float) -> str:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else error
    return f"{np.mean(values):.3f} ± {deviation:.3f}"


def _percent(row: Row, at: int) -> str:
    values, (low, high) = row.efficiency[at], row.intervals[at]
    if len(values) > 1:
        return f"{100 * np.mean(values):.3g} ± {100 * np.std(values, ddof=1):.2g}"
    return _interval(values[0], low, high)


def _interval(value: float, low: float, high: float) -> str:
    def limit(fraction: float) -> str:
        return "100" if fraction > 0.995 else f"{100 * fraction:.2g}"

    return f"{100 * value:.3g} [{limit(low)}, {limit(high)}]"


def _comparisons(evaluations: Iterable[Evaluation]) -> list[dict[str, Any]]:
    return [one for evaluation in evaluations for one in evaluation["comparisons"]]


def paired(evaluations: Iterable[Evaluation]) -> str:
    """Differences and ratios on the same events, of the first seed."""
    lines = []
    for comparison in _comparisons(evaluations):
        if not comparison["model"].endswith("-seed1"):
            continue
        for signal in comparison["signals"]:
            lines.append(
                [
                    f"{without_seed(comparison['model'])} : {without_seed(comparison['against'])}",
                    signal["name"],
                    f"{signal['auc_difference']:+.4f} [{signal['low']:+.4f}, {signal['high']:+.4f}]",
                    *(_ratio(point) for point in signal["efficiency_ratio"]),
                ]
            )
    titles = ["model : against", "signal", "AUC difference", *(f"ratio at {rate}" for rate in _RATES)]
    return _table(titles, lines) if lines else ""


def _ratio(point: dict[str, Any]) -> str:
    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.3g}"

    return f"{shown(point['ratio'])} [{shown(point['low'])}, {shown(point['high'])}]"


def paired_over_seeds(evaluations: Iterable[Evaluation]) -> str:
    """Means over seeds of the paired comparisons, with the paired interval of events and the spread of the seeds.

    Seeds are compared on the same events, so the events' error does not shrink with them: the interval is the mean of
    the seeds' intervals. Ratios are averaged as logarithms.
    """
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for comparison in _comparisons(evaluations):
        key = without_seed(comparison["model"]), without_seed(comparison["against"])
        found.setdefault(key, []).append(comparison)
    lines = []
    for (model, against), seeds in found.items():
        if len(seeds) < 2:
            continue
        for at, first in enumerate(seeds[0]["signals"]):
            own = [seed["signals"][at] for seed in seeds]
            area = [float(np.mean([one[key] for one in own])) for key in ("auc_difference", "low", "high")]
            deviation = float(np.std([one["auc_difference"] for one in own], ddof=1))
            ratios = [_mean_ratio([one["efficiency_ratio"][rate] for one in own]) for rate in range(len(_RATES))]
            difference = f"{area[0]:+.4f} [{area[1]:+.4f}, {area[2]:+.4f}] ± {deviation:.4f}"
            lines.append([f"{model} : {against}", str(len(seeds)), first["name"], difference, *ratios])
    titles = ["model : against", "seeds", "signal", "AUC difference", *(f"ratio at {rate}" for rate in _RATES)]
    return _table(titles, lines) if lines else ""


def _mean_ratio(points: list[dict[str, Any]]) -> str:
    """Geometric mean of ratios and of their limits, and the factor by which seeds spread; "-" where unbounded."""

    def mean(key: str) -> float | None:
        values = [point[key] for point in points]
        if any(value is None for value in values):
            return None
        return 0.0 if min(values) <= 0 else float(np.exp(np.mean(np.log(values))))

    ratios = [point["ratio"] for point in points]
    shown = _ratio({key: mean(key) for key in ("ratio", "low", "high")})
    if any(ratio is None or ratio <= 0 for ratio in ratios):
        return shown
    return f"{shown} x/ {np.exp(np.std(np.log(ratios), ddof=1)):.2f}"


def pure(evaluations: Iterable[Evaluation]) -> str:
    """Signal found that the menu does not take, per cent of all, with its interval; first seeds."""
    lines = []
    for one in _each(evaluations):
        points = {signal["name"]: signal["efficiency"] for signal in one["signals"]}
        if _OTHER_SEED.search(one["model"]) or "pure" not in next(iter(points.values()))[0]:
            continue
        for at, rate in enumerate(_RATES):
            cells = [
                _interval(*(points[signal][at]["pure"][key] for key in ("signal", "low", "high"))) for signal in SIGNALS
            ]
            lines.append([without_seed(one["model"]) if at == 0 else "", rate, *cells])
    return _table(["model", "at", *SIGNALS], lines) if lines else ""


def unions(evaluations: Iterable[Evaluation]) -> str:
    """What several paths find together at one joint rate, against the best of them, and how they overlap."""
    lines, overlaps = [], []
    for evaluation in evaluations:
        if "union" not in evaluation:
            continue
        union = evaluation["union"]
        name = " or ".join(without_seed(model) for model in union["models"])
        for signal in union["signals"]:
            cells = []
            for point in signal["efficiency"]:
                best = point["over_best"]
                cells.append(f"{_interval(point['signal'], point['low'], point['high'])}; {_ratio(best)}")
            lines.append([name, signal["name"], *cells])
        for rate in union["rates"]:
            paths = ", ".join(
                f"{without_seed(path['model'])} {path['background_passing']} ({path['alone']} alone)"
                for path in rate["paths"]
            )
            overlaps.append([name, f"{rate['background']:g}", str(rate["background_passing"]), paths])
    if not lines:
        return ""
    found = _table(["union", "signal", *(f"% at {rate}; over the best single path" for rate in _RATES)], lines)
    return found + "\n" + _table(["union", "at", "background events", "by path"], overlaps)


def sculpting(evaluations: Iterable[Evaluation]) -> str:
    """Rank correlations of score with HT and visible mass, and means of those in passing background; first seeds."""
    lines = []
    for one in _each(evaluations):
        if _OTHER_SEED.search(one["model"]):
            continue
        cells = []
        for shape in (one["sculpting"]["ht"], one["sculpting"]["mass"]):
            means = [shape["mean_all"], *(point["mean"] for point in shape["mean_passing"])]
            cells += [f"{shape['spearman']:+.2f}", *("-" if mean is None else f"{mean:.0f}" for mean in means)]
        lines.append([without_seed(one["model"]), *cells])
    means = ["all", *(f"at {rate}" for rate in _RATES)]
    titles = ["model", "HT: correlation", *means, "mass: correlation", *means]
    return _table(titles, lines) if lines else ""


def inverse(evaluations: dict[str, Evaluation]) -> str:
    """Models that were trained on one process, with the others as signals, on events of the test recording."""
    lines = []
    for name, evaluation in evaluations.items():
        if not name.startswith("inverse-"):
            continue
        for one in [evaluation, *evaluation["further_models"]]:
            for signal in one["signals"]:
                cells = [_interval(point["signal"], point["low"], point["high"]) for point in signal["efficiency"]]
                area = f"{signal['auc']:.4f} ± {signal['auc_error']:.4f}"
                trained = name.removeprefix("inverse-")
                lines.append([trained, signal["name"], without_seed(one["model"]), area, *cells])
    lines.sort(key=lambda line: line[:2])
    return _table(["trained on", "finds", "model", "AUC", *(f"% at {r}" for r in _RATES)], lines) if lines else ""


def robust(measured: dict[str, Any] | None) -> str:
    """Rates and efficiencies in changed recordings at the thresholds of the nominal one."""
    lines = []
    for model, variations in (measured or {}).items():
        for name, row in variations.items():
            rates = [f"{rate / nominal:.3g}" for rate, nominal in zip(row["rates"], (1e-4, 1e-5), strict=True)]
            cells = [f"{100 * row['signals'][signal][1]:.3g}" for signal in SIGNALS]
            lines.append([without_seed(model), name, *rates, *cells])
    titles = ["model", "changed", "background at 1e-4 over nominal", "at 1e-5", *(f"% {s} at 1e-5" for s in SIGNALS)]
    return _table(titles, lines) if lines else ""


def crossings(measured: dict[str, Any] | None, evaluations: dict[str, Evaluation]) -> str:
    """Hz of calibrated thresholds on unfiltered crossings, and what models find at fractions of those."""
    if not measured:
        return ""
    lines = []
    for model, rows in measured["models"].items():
        for row in rows:
            hertz = f"{row['hertz']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"
            passing = f"{row['passing']} ({row['independent']:.0f})"
            lines.append([without_seed(model), f"{row['target_rate']:g}", f"{row['threshold']:.5g}", passing, hertz])
    text = (
        f"{measured['events']:,} crossings, worth {measured['effective_events']:,.0f} independent ones; "
        f"{measured['crossings_hz'] / 1e6:.1f} MHz of crossings.\n\n"
    )
    text += _table(["model", "calibrated for", "threshold", "crossings that pass (independent)", "Hz"], lines)
    for title in [name for name in evaluations if name.startswith("zerobias")]:
        evaluation, lines = evaluations[title], []
        for one in [evaluation, *evaluation["further_models"]]:
            for at, rate in enumerate(_RATES):
                points = [signal["efficiency"][at] for signal in one["signals"]]
                cells = [_interval(point["signal"], point["low"], point["high"]) for point in points]
                hertz = f"{float(rate) * measured['crossings_hz']:.3g}"
                mark = " *" if points[0]["few_background"] else ""
                name = without_seed(one["model"]) if at == 0 else ""
                lines.append([name, rate + mark, hertz, f"{points[0]['threshold']:.5g}", *cells])
        names = [signal["name"] for signal in evaluation["signals"]]
        titles = ["model", f"of {evaluation['background_events']:,} crossings", "Hz", "threshold"]
        text += "\n" + _table([*titles, *(f"% {name}" for name in names)], lines)
    return text
