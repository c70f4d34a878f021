"""How far long work has come, and how long it will take: a bar in a terminal, lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

# Called with how much is done, and how much there is; the first call says where the work begins.
Report = Callable[[int, int], None]

SECONDS_BETWEEN_LINES = 10
# Drawing a bar ten times a second, as tqdm does of itself, would cost short epochs half a percent.
SECONDS_BETWEEN_BARS = 0.5


@contextmanager
def shown(what: str, unit: str) -> Iterator[Report]:
    """Within the block, what is reported is shown on stderr. unit: what is counted, such as "epoch"."""
    report = None
    if sys.stderr.isatty():
        with suppress(ModuleNotFoundError):
            report = _Bar(what, unit)
    report = report or _Lines(what, unit)
    try:
        yield report
    finally:
        report.close()


def in_words(seconds: float) -> str:
    """ "12 s", "3 min" or "1 h 20 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


class _Bar:
    def __init__(self, what: str, unit: str):
        from tqdm import tqdm

        self._open = partial(tqdm, desc=what, unit=unit, mininterval=SECONDS_BETWEEN_BARS, dynamic_ncols=True)
        self._bar = None

    def __call__(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = self._open(initial=done, total=total)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class _Lines:
    def __init__(self, what: str, unit: str):
        self._start = f"{what}: {unit}"
        self._begin: tuple[int, float] | None = None

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._begin is None:
            self._begin, self._said = (done, now), now
            return
        first, begun = self._begin
        if done > first and now - self._said >= SECONDS_BETWEEN_LINES:
            left = (now - begun) / (done - first) * (total - done)
            print(f"{self._start} {done} of {total}, {in_words(left)} left", file=sys.stderr, flush=True)
            self._said = now

    def close(self) -> None:
        """The last line has been said."""
