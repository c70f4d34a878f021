"""What MLflow is to hold of an experiment: an entry for each run, and one for its report, tables and figures.

`vaebench.tracking` mirrors them. A run's parameters are the settings in which the experiment's runs differ; those that all
share are the parameters of the summary.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from vaebench.datasets import Dataset
from vaebench.files import read_arrays
from vaebench.keys import dataset_key
from vaebench.mlflow_pages import NOTE, Pages
from vaebench.settings import Run
from vaebench.store import Results, read_record
from vaebench.tables import Tables

MAX_POINTS = 25  # a curve: a point takes 0.15 ms to log and 230 bytes to keep, and history.parquet has every epoch
PICTURE = "originals-reconstructions-samples.png"
PICTURE_HEIGHT = 56  # of an image in it; small ones are scaled up to be seen
SUMMARY = "summary"
# The others have their split in their names.
CURVES = {"kl_weight": "train/kl_weight", "active_units": "validation/active_units"}


class Point(NamedTuple):
    """A value of an MLflow metric; the step is the epoch, and 0 for what is measured once."""

    name: str
    value: float
    step: int = 0


class Source(NamedTuple):
    """The data set that a run was trained on, as MLflow describes it. profile: JSON, the images of each split."""

    name: str
    digest: str
    path: str
    profile: str


@dataclass(frozen=True)
class Entry:
    """All that is logged as one MLflow run.

    key: the run_id, or "summary". files: content by artifact path. seconds: of training. modified: when its record was
    written, for the summary the last run's, in seconds since 1970; no part of the identity, as copying results/ changes it.
    """

    key: str
    name: str
    tags: dict[str, str]
    modified: float
    seconds: float = 0
    params: dict[str, str] = field(default_factory=dict)
    source: Source | None = None
    points: tuple[Point, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)
    status: str = "FINISHED"

    @cached_property
    def identity(self) -> tuple[str, str, str]:
        """Key, content and status: what a whole MLflow run of this entry has."""
        files = {path: hashlib.sha256(data).hexdigest() for path, data in self.files.items()}
        parts = [self.name, self.tags, self.seconds, self.params, self.source, self.points, files]
        content = json.dumps(parts, sort_keys=True)
        return self.key, hashlib.sha256(content.encode()).hexdigest()[:16], self.status


def entries(pages: Pages, tables: Tables) -> Iterator[Entry]:
    """One for each run, in the file's order, and at last the summary."""
    rows = tables.runs.set_index("run_id")
    histories = dict(list(tables.history.groupby("run_id")))
    nothing = tables.history.iloc[:0]
    for run in pages.experiment.runs:
        yield _run_entry(pages, run, rows.loc[run.run_id], histories.get(run.run_id, nothing))
    yield _summary_entry(pages)


def _run_entry(pages: Pages, run: Run, row: pd.Series, history: pd.DataFrame) -> Entry:
    files = pages.folder.run(run.run_id)
    trained = row.status == "trained"
    return Entry(
        key=run.run_id,
        name=f"{pages.group(run)}-s{run.seed}",
        tags=_tags(run, row, read_record(files.record)["environment"]) | {NOTE: pages.run_note(run, trained)},
        modified=files.record.stat().st_mtime,
        seconds=float(history.seconds.sum()),
        params=_texts(pages.parameters(run)),
        source=_source(run.dataset, pages.results),
        points=(*_scores(pages, row), *_curves(history)),
        files={PICTURE: draw_pictures(files.pictures, run.dataset.image_shape, files.evaluation)} if trained else {},
        status="FINISHED" if trained else "FAILED",
    )


def _summary_entry(pages: Pages) -> Entry:
    folder, experiment = pages.folder, pages.experiment
    tables = [folder.runs, folder.summary("csv"), folder.summary("md"), folder.comparisons, folder.linear]
    figures = folder.figure("[!.]*", "png")
    files = {f"tables/{path.name}": path for path in tables}
    files |= {f"figures/{path.name}": path for path in sorted(figures.parent.glob(figures.name))}
    files |= {folder.report.name: folder.report}
    evaluation = {"seeds": experiment.seeds, "baseline": experiment.baseline, "n_samples": experiment.evaluation.n_samples}
    return Entry(
        key=SUMMARY,
        name=SUMMARY,
        tags={"kind": SUMMARY, NOTE: pages.summary_note()},
        modified=max(folder.run(run.run_id).record.stat().st_mtime for run in experiment.runs),
        params=_texts(pages.shared_settings | evaluation),
        files={name: folder.published(path) for name, path in files.items() if path.exists()},
    )


def _texts(values: dict[str, Any]) -> dict[str, str]:
    """As MLflow keeps parameters and tags; without those that do not apply."""
    return {name: str(value) for name, value in values.items() if pd.notna(value)}


def _tags(run: Run, row: pd.Series, made_with: dict[str, str | None]) -> dict[str, str]:
    tags = {
        "kind": "run",
        "run_id": run.run_id,
        "measure": row.measure,
        "status": row.status,
        "diverged_because": row.diverged_because,
        "collapse": row.collapse,
        "vaebench": made_with["vaebench"],
        "git_commit": made_with["git commit"],
    }
    return _texts(tags)


def _source(dataset: Dataset, results: Results) -> Source:
    path = str(results.dataset(dataset.name))
    return Source(dataset.name, dataset_key(dataset), path, json.dumps(dataset.sizes))


def _scores(pages: Pages, row: pd.Series) -> Iterator[Point]:
    """The metrics that the run has; none of a diverged one."""
    for metric in pages.experiment.metrics:
        if pd.notna(row[metric]):
            yield Point(pages.score(metric), float(row[metric]))


def _curves(history: pd.DataFrame) -> Iterator[Point]:
    """The columns of a history, at up to MAX_POINTS epochs evenly from the first to the last."""
    n_points = min(len(history), MAX_POINTS)
    chosen = history.iloc[np.linspace(0, len(history) - 1, n_points).round().astype(int)]
    for column, values in chosen.drop(columns=["run_id", "epoch", "seconds"]).items():
        name = CURVES.get(column) or re.sub("^(train|validation)_", r"\1/", column)
        yield from (Point(name, value, epoch) for value, epoch in zip(values.tolist(), chosen.epoch.tolist(), strict=True))


def draw_pictures(path: Path, image_shape: tuple[int, int], record: Path | None = None) -> bytes:
    """PNG of a run's pictures: rows of originals, reconstructions, samples. record: what vouches for them."""
    from PIL import Image

    height, width = image_shape
    arrays = read_arrays(path, record)
    levels = np.stack([arrays[name] for name in ("originals", "reconstructions", "samples")]).reshape(3, -1, height, width)
    scale = max(1, round(PICTURE_HEIGHT / height))
    framed = np.pad(levels.repeat(scale, 2).repeat(scale, 3), ((0, 0), (0, 0), (2, 2), (2, 2)), constant_values=128)
    buffer = io.BytesIO()
    Image.fromarray(_grid(framed)).save(buffer, "PNG")
    return buffer.getvalue()


def _grid(images: np.ndarray) -> np.ndarray:
    """[rows, columns, H, W] -> [rows H, columns W]."""
    n_rows, n_columns, height, width = images.shape
    return images.transpose(0, 2, 1, 3).reshape(n_rows * height, n_columns * width)
