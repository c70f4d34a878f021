"""Figures of variants by tasks, of made-up tasks that went through the store's real paths."""

import shutil
from collections.abc import Iterator

import made_up_tasks
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from test_figures import assert_fits
from test_report import fill

from vaebench import specification, tables
from vaebench.figures import FIGURES
from vaebench.plotting import Source, styled
from vaebench.ranking import ranks
from vaebench.store import Results
from vaebench.task_figures import MOST_LINES, TASK_FIGURES

pytestmark = pytest.mark.usefixtures("made_up_metrics")

GRID = "grid: {latent_size: [2, 8], left_out: [null, 3]}"


def make(folder, n_variants: int, *settings: str, diverged=(), tasks=made_up_tasks.TASKS) -> Source:
    weights = [f"beta-{2**index}: {{kl: {{schedule: constant, weight: {index + 1}}}}}" for index in range(n_variants)]
    path = folder / "made-up.yaml"
    lines = [*settings, "title: t", "dataset: digits", "baseline: beta-1", f"variants: {{{', '.join(weights)}}}"]
    path.write_text("\n".join(lines), encoding="utf-8")
    experiment, results = made_up_tasks.with_tasks(specification.load(path), tasks), Results(folder / "results")
    shutil.rmtree(results.root, ignore_errors=True)
    fill(experiment, results, diverged, figures=())
    files = results.experiment(experiment.name)
    return Source(experiment, files, tables.load(files))


@pytest.fixture(autouse=True)
def _in_style() -> Iterator[None]:
    with styled():
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Source:
    return make(tmp_path_factory.mktemp("source"), 3, GRID, "seeds: 3")


def test_lines_go_through_the_places_of_the_means(source):
    [ax] = FIGURES["ranks-by-task"].draw(source).axes
    rows, ranked = source.trade_offs.rows, source.trade_offs.ranked
    assert len(ranked) == 4
    lines = {tuple(line.get_xdata()): line for line in ax.lines if len(line.get_xdata()) == len(ranked)}
    assert len(lines) == len(rows) == 6
    for column, metric in enumerate(ranked):
        values = rows[metric.name] * (-1 if metric.better == "higher" else 1)
        assert [line.get_ydata()[column] for line in lines.values()] == values.rank().tolist()


def test_bars_are_the_places_that_intervals_leave_open(source):
    [ax] = FIGURES["ranks-by-task"].draw(source).axes
    bars = [line for line in ax.lines if len(line.get_xdata()) == 2]
    expected = [rank for metric in source.trade_offs.ranked for rank in ranks(source.trade_offs.rows, metric)]
    assert [tuple(bar.get_ydata()) for bar in bars] == [(rank.first - 0.25, rank.last + 0.25) for rank in expected]
    assert len({bar.get_xdata()[0] for bar in bars}) == len(bars), "no bar covers another"
    variants = [*source.trade_offs.rows.variant] * len(source.trade_offs.ranked)
    assert [to_rgb(bar.get_color()) for bar in bars] == [to_rgb(source.looks[name]["color"]) for name in variants]


def test_dots_are_seeds_means_and_intervals_and_lines_what_they_are_held_to(source):
    axes = FIGURES["variants-by-tasks"].draw(source).axes
    rows, seeds = source.trade_offs.rows, source.trade_offs.seeds
    assert [ax.get_title("left").replace("\n", " ") for ax in axes] == [
        "Painting (Fréchet distance)",
        "Guarding (AUROC)",
        "Cleaning (PSNR)",
    ]
    assert axes[2].get_xlabel().replace("\n", " ") == "dB, higher is better"
    n_held_to = 0
    for ax, name in zip(axes, ("distance", "auroc", "cleaned"), strict=True):
        in_rows, held_to = ax.lines[: 3 * len(rows)], ax.lines[3 * len(rows) :]
        for y, row in enumerate(rows.to_dict("records")):
            dots, interval, mean = (list(line.get_xdata()) for line in in_rows[3 * y : 3 * y + 3])
            own = seeds[(seeds.variant == row["variant"]) & (seeds.latent_size == row["latent_size"])]
            assert dots == own[name].tolist()
            assert interval == [row[f"{name}_low"], row[f"{name}_high"]]
            assert mean == [row[name]]
        low, high = rows[f"{name}_low"].min(), rows[f"{name}_high"].max()
        near = [low - 2 * (high - low), high + 2 * (high - low)]
        known = {"distance": [0.25], "auroc": [0.5], "cleaned": [12, 18]}[name]
        assert [line.get_xdata()[0] for line in held_to] == [value for value in known if near[0] <= value <= near[1]]
        n_held_to += len(held_to)
    assert 0 < n_held_to < 4, "far from all variants a line would press them together"
    labels = [label.get_text() for label in axes[0].get_yticklabels()]
    assert labels == ["beta-1   2", "8", "beta-2   2", "8", "beta-4   2", "8"]


def test_diverged_seeds_are_counted(tmp_path):
    source = make(tmp_path, 2, "seeds: 3", diverged=[1])
    axes = FIGURES["variants-by-tasks"].draw(source).axes
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["beta-1   (1 diverged)", "beta-2"]


def test_many_rows_are_ranked_at_one_grid_point(tmp_path):
    source = make(tmp_path, 5, "grid: {latent_size: [2, 4, 8]}", "seeds: 3")
    assert len(source.trade_offs.rows) > MOST_LINES
    drawing = FIGURES["ranks-by-task"].draw(source)
    assert drawing.get_suptitle() == "At latent size 4"
    [ax] = drawing.axes
    n_columns = len(source.trade_offs.ranked)
    places = [line.get_ydata() for line in ax.lines if len(line.get_xdata()) == n_columns]
    assert np.sort(places, axis=0).T.tolist() == [[1, 2, 3, 4, 5]] * n_columns


@pytest.mark.parametrize(("n_variants", "settings"), [(2, ()), (3, (GRID,)), (12, ())])
def test_they_fit_the_columns_of_a_journal(tmp_path, n_variants, settings):
    source = make(tmp_path, n_variants, "seeds: 3", *settings)
    for name in TASK_FIGURES:
        assert_fits(name, FIGURES[name].draw(source))


def test_without_tasks_or_without_ranks_there_are_none(tmp_path):
    alone = make(tmp_path, 1, "seeds: 3")
    assert set(TASK_FIGURES) & set(FIGURES.applicable(alone)) == {"variants-by-tasks"}
    without = make(tmp_path, 2, "seeds: 3", tasks=[])
    assert not set(TASK_FIGURES) & set(FIGURES.applicable(without))


def test_a_task_of_which_no_run_has_a_number_has_no_panel(tmp_path):
    source = make(tmp_path, 2, "seeds: 3")
    titles = [ax.get_title("left") for ax in FIGURES["variants-by-tasks"].draw(source).axes]
    assert [title.split()[0] for title in titles] == ["Painting", "Cleaning"], "no run has left out a class"
