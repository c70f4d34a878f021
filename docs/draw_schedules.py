"""Draw docs/images/schedules.png, a panel for each registered KL schedule at its defaults: python docs/draw_schedules.py"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING

from vaebench.plotting import GREY, styled, subplots, word
from vaebench.schedules import SCHEDULES, Schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

PICTURE = Path(__file__).parent / "images/schedules.png"
COLUMNS = 3
UNIT = [i / 1000 for i in range(1001)]


def draw() -> Drawing:
    n_rows = math.ceil(len(SCHEDULES) / COLUMNS)
    drawing, axes = subplots(n_rows, COLUMNS, 6.5, 1.65 * n_rows)
    for ax in axes.flat[len(SCHEDULES) :]:
        ax.remove()
    for ax, (name, definition) in zip(axes.flat, SCHEDULES.items(), strict=False):
        draw_panel(ax, definition())
        ax.set_title(name, fontweight="bold", pad=15)
        below_title = {"xytext": (0, 4), "xycoords": "axes fraction", "textcoords": "offset points"}
        ax.annotate(describe(definition()), (0, 1), color=GREY, **below_title)
    return drawing


def draw_panel(ax: Axes, schedule: Schedule) -> None:
    """Of the three things that a schedule gives, the one that sets it apart."""
    if schedule.free_nats:
        kl = [4 * schedule.free_nats * share for share in UNIT]
        ax.plot(kl, kl, "--", color=GREY, linewidth=0.8)
        ax.plot(kl, [max(nats, schedule.free_nats) for nats in kl], color="C0")
        ax.set(xlabel="KL$_i$ (nats)", ylabel="counted as (nats)")
    else:
        given, label = (schedule.capacity, "capacity (nats)") if schedule.capacity(1) else (schedule, "weight")
        ax.plot(UNIT, [given(progress) for progress in UNIT])
        ax.set(xlabel="progress", ylabel=label)
    ax.update_datalim([(0, 0)])  # the vertical axis starts at 0
    ax.margins(0.04)


def describe(schedule: Schedule) -> str:
    """Its settings; the weight only if there are no others."""
    settings = {field.name: getattr(schedule, field.name) for field in dataclasses.fields(schedule)}
    del settings[SCHEDULES.tag]
    return ", ".join(f"{key} {word(value)}" for key, value in settings.items() if key != "weight" or len(settings) == 1)


if __name__ == "__main__":
    with styled():
        draw().savefig(PICTURE, metadata={"Software": None})
