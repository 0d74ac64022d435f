"""The best possible, by linear and quadratic programs (HiGHS). It knows everything beforehand; nothing in the loop may use it."""

from typing import Any

import numpy as np

from counterflow.app.bench.figures import CannotError
from counterflow.engine.fleet.snapshot import F8


def best_capacity_w(power_w: F8, energy_wh: F8, leaves_after: np.ndarray, shape: F8, step_h: float) -> float:
    """The largest multiple of `shape` (K,) that N cars can sustain, W.

    Car n gives 0 to `power_w[n]` in the first `leaves_after[n]` steps, and no more than `energy_wh[n]` altogether.
    """
    highs = _highs()
    cars, steps = len(power_w), len(shape)
    here = np.arange(steps)[None, :] < leaves_after[:, None]
    upper = np.where(here, power_w[:, None], 0.0).ravel()
    count = cars * steps + 1
    # Columns: x[car, step], then the multiple. Rows: a balance for each step, an energy for each car.
    starts = np.concatenate([2 * np.arange(count - 1), [2 * (count - 1)]]).astype(np.int32)
    step_of, car_of = np.tile(np.arange(steps), cars), np.repeat(np.arange(cars), steps)
    rows = np.column_stack([step_of, steps + car_of]).ravel()
    values = np.tile([1.0, step_h], count - 1)
    model = _model(
        costs=np.concatenate([np.zeros(count - 1), [-1.0]]),
        upper=np.concatenate([upper, [np.inf]]),
        row_lower=np.concatenate([np.zeros(steps), np.full(cars, -np.inf)]),
        row_upper=np.concatenate([np.full(steps, np.inf), energy_wh]),
        starts=np.concatenate([starts, [2 * (count - 1) + steps]]),
        rows=np.concatenate([rows, np.arange(steps)]),
        values=np.concatenate([values, -shape]),
    )
    return float(_solved(highs, model)[-1])


def best_delivery_w(able_w: F8, energy_wh: F8, target_w: F8, step_s: float) -> F8:
    """The most that N cars can deliver of a target in each of K steps (K,), W, altogether: car n no more than `able_w[k, n]` in step k, and
    no more than `energy_wh[n]` altogether. It knows beforehand who leaves when."""
    highs, steps, step_h = _highs(), len(target_w), step_s / 3600.0
    # Cars that cannot run out are one car: nothing is lost by that, and there are columns for few.
    dry = able_w.sum(axis=0) * step_h > energy_wh
    columns_w = np.column_stack([able_w[:, ~dry].sum(axis=1), able_w[:, dry]])
    cars = columns_w.shape[1]
    limits_wh = np.concatenate([[np.inf], energy_wh[dry]])
    # Columns: x[step, car]. Rows: the target of each step, then the energy of each car.
    count = steps * cars
    model = _model(
        costs=np.full(count, -1.0),
        upper=columns_w.ravel(),
        row_lower=np.full(steps + cars, -np.inf),
        row_upper=np.concatenate([target_w, limits_wh]),
        starts=2 * np.arange(count + 1),
        rows=np.column_stack([np.repeat(np.arange(steps), cars), steps + np.tile(np.arange(cars), steps)]).ravel(),
        values=np.tile([1.0, step_h], count),
    )
    return np.asarray(_solved(highs, model).reshape(steps, cars).sum(axis=1))


def least_square_share_w(caps_w: F8, weights: F8, group: np.ndarray, group_cap_w: F8, target_w: float) -> F8:
    """`min sum x^2 / (2 w)` with `sum x = target`, `0 <= x <= cap`, and a limit for each group (N,)."""
    import highspy

    highs = _highs()
    cars, groups = len(caps_w), len(group_cap_w)
    model = _model(
        costs=np.zeros(cars),
        upper=caps_w,
        row_lower=np.concatenate([[target_w], np.full(groups, -np.inf)]),
        row_upper=np.concatenate([[target_w], group_cap_w]),
        starts=2 * np.arange(cars + 1),
        rows=np.column_stack([np.zeros(cars), 1 + group]).ravel(),
        values=np.ones(2 * cars),
    )
    hessian = highspy.HighsHessian()
    hessian.dim_ = cars
    hessian.format_ = highspy.HessianFormat.kTriangular
    hessian.start_, hessian.index_, hessian.value_ = np.arange(cars + 1), np.arange(cars), 1.0 / weights
    whole = highspy.HighsModel()
    whole.lp_, whole.hessian_ = model, hessian
    return _solved(highs, whole)


def recoverable(energy_wh: F8, power_w: F8, leaves_s: F8, import_w: float) -> bool:
    """Whether jobs that are all there from now on can all be charged in time behind one connection, by a linear program."""
    highs = _highs()
    edges_s = np.unique(np.concatenate([[0.0], leaves_s]))
    hours = np.diff(edges_s) / 3600.0
    cars, steps = len(power_w), len(hours)
    here = edges_s[None, 1:] <= leaves_s[:, None]
    model = _model(
        costs=np.full(cars * steps, -1.0),
        upper=np.where(here, power_w[:, None] * hours[None, :], 0.0).ravel(),
        row_lower=np.full(steps + cars, -np.inf),
        row_upper=np.concatenate([import_w * hours, energy_wh]),
        starts=2 * np.arange(cars * steps + 1),
        rows=np.column_stack([np.tile(np.arange(steps), cars), steps + np.repeat(np.arange(cars), steps)]).ravel(),
        values=np.ones(2 * cars * steps),
    )
    return bool(_solved(highs, model).sum() >= float(energy_wh.sum()) * (1.0 - 1e-9) - 1e-6)


def _highs() -> Any:
    try:
        import highspy
    except ModuleNotFoundError:
        raise CannotError("The oracle needs the package 'highspy'; install counterflow[dev].") from None
    highs: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 1)
    return highs


def _model(*, costs: F8, upper: F8, row_lower: F8, row_upper: F8, starts: np.ndarray, rows: np.ndarray, values: F8) -> Any:
    import highspy

    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(costs), len(row_lower)
    model.col_cost_, model.col_lower_, model.col_upper_ = costs, np.zeros(len(costs)), upper
    model.row_lower_, model.row_upper_ = row_lower, row_upper
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_, model.a_matrix_.index_, model.a_matrix_.value_ = starts.astype(np.int32), rows.astype(np.int32), values
    return model


def _solved(highs: Any, model: Any) -> F8:
    import highspy

    highs.passModel(model)
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise CannotError(f"HiGHS did not solve the oracle's program: {highs.modelStatusToString(highs.getModelStatus())}.")
    return np.array(highs.getSolution().col_value)
