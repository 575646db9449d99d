"""Predicts a published table from few of its rows: `python benchmarks/predict.py FILE.csv --cost COLUMN --name COLUMN`.

A run learns from random rows and predicts the others. Printed are the median error in percent and the share of values
inside the 90 % intervals, in the mean over the runs. `--start COLUMN` begins with the predictions from all rows of
another device. Where the features state the parts of networks, as those of our own rows (FILE.jsonl) do, predictions
begin with the sum of these. `--compare` prints the median errors of other methods too; two of them need scikit-learn.

Targets: from 5 % of the rows at most 6 %, and 87 to 93 % inside; with `--start` from 15 rows.
"""

import argparse
import json
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import tables
from numpy.typing import NDArray

from paretodet.frontier.features import Features
from paretodet.frontier.law import law
from paretodet.frontier.predict import fit

Numbers = NDArray[np.float64]
Rows = NDArray[np.intp]
Method = Callable[[Features, Rows, Numbers], Numbers]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage="predict.py FILE [options]"
    )
    tables.add_table(parser, share=0.05)
    parser.add_argument("--rows", type=int, help="number of rows to learn from, instead of a share")
    parser.add_argument("--start", metavar="COLUMN", help="column of another device that is known for all rows")
    parser.add_argument("--compare", action="store_true", help="print the median errors of other methods too")
    options = parser.parse_args()
    if options.compare and find_spec("sklearn") is None:
        parser.error("--compare needs scikit-learn: pip install scikit-learn")
    columns = [options.cost, *([options.start] if options.start else [])]
    table = tables.read(parser, options.file, name=options.name, columns=columns)
    if not (table.values > 0).all():
        parser.error(f"{options.file}: a value of {' or '.join(columns)} is not above 0")
    share = tables.count(parser, options.share, len(table.values))
    measured = share if options.rows is None else options.rows
    if not 3 <= measured < len(table.values):
        parser.error(f"{measured} of {len(table.values)} rows leave nothing to learn or to predict")
    result = {"rows": len(table.values), "left_out": table.left_out, "measured": measured, "seeds": options.seeds}
    result |= evaluate(table, measured=measured, seeds=options.seeds)
    if options.compare:
        result["median_error_pct_of"] = compare(table, measured=measured, seeds=options.seeds)
    print(json.dumps(result) if options.json else "\n".join(f"{name}: {value}" for name, value in result.items()))


def drawn(count: int, measured: int, seed: int) -> tuple[Rows, Rows]:
    """Random rows to learn from, and the others."""
    order = np.random.default_rng(seed).permutation(count)
    return order[:measured], order[measured:]


def evaluate(table: tables.Table, *, measured: int, seeds: int) -> dict[str, float]:
    """Error, coverage and the share of known predictions, in percent, in the mean over the runs."""
    values, start = table.values[:, 0], table.values[:, 1] if table.values.shape[1] > 1 else None
    runs = []
    for seed in range(seeds):
        rows, rest = drawn(len(values), measured, seed)
        began = parts(table.features, rows, values[rows]) if start is None else start
        predictor = fit(table.features, rows, values[rows], start=began)
        point, low, high, known = predictor.predict(table.features, start=began)
        inside = (low <= values) & (values <= high)
        runs.append([np.median(abs(point / values - 1)[rest]), inside[rest].mean(), known[rest].mean()])
    error, coverage, known = 100 * np.mean(runs, axis=0)
    worst = 100 * max(run[0] for run in runs)
    return {
        "median_error_pct": float(error), "median_error_pct_worst": float(worst), "coverage_pct": float(coverage),
        "known_pct": float(known),
    }  # fmt: skip


def parts(features: Features, rows: Rows, costs: Numbers) -> Numbers | None:
    """What the sum of the parts of every network costs, where the features state the parts."""
    found = law(features, rows, costs)
    return found and np.exp(found.logs(features))


def compare(table: tables.Table, *, measured: int, seeds: int) -> dict[str, float]:
    """The median error of each method in percent, in the mean over the same runs."""
    values = table.values[:, 0]
    result = {}
    for name, method in METHODS.items():
        errors = []
        for seed in range(seeds):
            rows, rest = drawn(len(values), measured, seed)
            predicted = np.exp(method(table.features, rows, np.log(values[rows])))
            errors.append(np.median(abs(predicted / values - 1)[rest]))
        result[name] = 100 * float(np.mean(errors))
    return result


def standard(features: Features) -> Numbers:
    """[N, F] numbers of mean 0 and deviation 1; 0 where a name states none."""
    numbers = features.numbers
    scale = np.nanstd(numbers, axis=0)
    return np.asarray(np.nan_to_num((numbers - np.nanmean(numbers, axis=0)) / np.where(scale > 0, scale, 1)))


def design(features: Features) -> Numbers:
    """[N, D] numbers, their products, and a column for each category."""
    numbers = standard(features)
    rows, columns = np.triu_indices(numbers.shape[1])
    return np.column_stack([numbers, numbers[:, rows] * numbers[:, columns], words(features)])


def words(features: Features) -> Numbers:
    """[N, W] a column for each category, 1 where a configuration has it; without categories there are no columns."""
    hot = [column[:, None] == np.unique(column) for column in features.categories.T]
    return np.column_stack([np.empty((len(features.categories), 0)), *hot])


def power_law(features: Features, rows: Rows, logs: Numbers) -> Numbers:
    """Least squares of the logarithms on the numbers, for all categories together."""
    columns = np.column_stack([np.ones(len(features.numbers)), standard(features)])
    return np.asarray(columns @ np.linalg.lstsq(columns[rows], logs, rcond=None)[0])


def work_alone(features: Features, rows: Rows, logs: Numbers) -> Numbers:
    """A line of the logarithm of the multiply-adds, or of what names say of them: depth x width² x size²."""
    powers = {"macs": 1.0} if "macs" in features.number_names else {"d": 1.0, "w": 2.0, "size": 2.0}
    exponents = np.array([powers.get(name, 0.0) for name in features.number_names])
    work = np.nan_to_num(features.numbers) @ exponents
    return np.asarray(np.polyval(np.polyfit(work[rows], logs, 1), work))


def nearest_neighbor(features: Features, rows: Rows, logs: Numbers) -> Numbers:
    """The value of the measured row at the least distance; another category counts as one deviation."""
    numbers, codes = standard(features), features.categories
    distance = ((numbers[:, None] - numbers[rows]) ** 2).sum(-1) + (codes[:, None] != codes[rows]).sum(-1)
    return np.asarray(logs[distance.argmin(1)])


def ridge(features: Features, rows: Rows, logs: Numbers) -> Numbers:
    """Ridge regression on `design`, its penalty chosen by leave-one-out errors."""
    columns, mean = design(features), logs.mean()
    gram = columns[rows] @ columns[rows].T

    def solved(penalty: float) -> tuple[float, Numbers]:
        inverse = np.linalg.inv(gram + penalty * np.eye(len(rows)))
        weights = inverse @ (logs - mean)
        return float(((weights / np.diag(inverse)) ** 2).sum()), weights

    best = min((solved(penalty) for penalty in np.logspace(-4, 2, 25)), key=lambda pair: pair[0])[1]
    return np.asarray(mean + columns @ (columns[rows].T @ best))


def library_process(features: Features, rows: Rows, logs: Numbers) -> Numbers:
    """scikit-learn's Gaussian process: linear and squared exponential kernels of numbers and categories, and noise."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

    inputs = np.column_stack([standard(features), words(features)])
    linear = ConstantKernel(1.0) * DotProduct(1.0)
    kernel = linear + ConstantKernel(0.1) * RBF(np.full(inputs.shape[1], 2.0), (0.1, 100)) + WhiteKernel(1e-2)
    process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
    return np.asarray(process.fit(inputs[rows], logs).predict(inputs))


def gradient_boosting(features: Features, rows: Rows, logs: Numbers) -> Numbers:
    """scikit-learn's gradient boosting with its default options."""
    from sklearn.ensemble import GradientBoostingRegressor

    columns = design(features)
    return np.asarray(GradientBoostingRegressor(random_state=0).fit(columns[rows], logs).predict(columns))


def our_process(features: Features, rows: Rows, logs: Numbers) -> Numbers:
    """`paretodet.frontier.predict`, which begins with `sum_of_parts` where there is one."""
    costs = np.exp(logs)
    start = parts(features, rows, costs)
    return np.log(fit(features, rows, costs, start=start).predict(features, start=start).point)


def sum_of_parts(features: Features, rows: Rows, logs: Numbers) -> Numbers:
    """`paretodet.frontier.law` alone; the mean where the features do not state the parts."""
    start = parts(features, rows, np.exp(logs))
    return np.full(len(features.numbers), logs.mean()) if start is None else np.log(start)


METHODS: dict[str, Method] = {
    "power law of the numbers": power_law,
    "multiply-adds alone": work_alone,
    "nearest neighbor": nearest_neighbor,
    "ridge regression": ridge,
    "gradient boosting (scikit-learn)": gradient_boosting,
    "Gaussian process (scikit-learn)": library_process,
    "sum of parts": sum_of_parts,
    "Gaussian process of components": our_process,
}


if __name__ == "__main__":
    main()
