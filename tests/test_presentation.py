"""Numbers and tables as text."""

import math

import pandas as pd
import pytest

from vaebench.metrics import METRICS
from vaebench.presentation import format_column, format_interval, heading, latex, markdown


@pytest.mark.parametrize(
    ("columns", "texts"),
    [
        # A third of the usual half width, 0.009, is 0.003.
        (([2.38, 2.5], [2.371, 2.49], [2.389, 2.508]), ["2.380 [2.371, 2.389]", "2.500 [2.490, 2.508]"]),
        (([-24.21], [-24.3], [-24.12]), ["−24.21 [−24.30, −24.12]"]),
        (([0.0132], [0.0128], [0.0136]), ["0.0132 [0.0128, 0.0136]"]),
        # Without intervals, three digits of the largest; equal values and missing ones do not count.
        (([0.0132, 0.001], [math.nan] * 2, [math.nan] * 2), ["0.0132", "0.0010"]),
        (([5.0, math.nan], [5.0, math.nan], [5.0 + 1e-15, math.nan]), ["5.00 [5.00, 5.00]", "–"]),
        (([math.nan], [math.nan], [math.nan]), ["–"]),
        (([1e-12], [-1e-12], [2e-12]), ["0.00 [0.00, 0.00]"]),
        (([1.0], [1 - 1e-8], [1 + 1e-8]), ["1.0000 [1.0000, 1.0000]"]),
        (([0.00012], [0.00011], [0.00013]), ["0.000120 [0.000110, 0.000130]"]),
    ],
)
def test_a_column_has_the_decimals_that_its_intervals_and_values_need(columns, texts):
    assert format_column(*map(pd.Series, columns)) == texts


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((-24.214, -24.304, -24.124), "−24.21 [−24.30, −24.12]"),
        ((0.001, -0.001, 0.003), "0.00 [0.00, 0.00]"),
        ((3.0, float("nan"), float("nan")), "3.00"),
        ((float("nan"),) * 3, "–"),
    ],
)
def test_intervals_as_text(values, text):
    assert format_interval(*values) == text


def test_headings_say_unit_direction_and_samples(make_experiment):
    experiment = make_experiment()
    assert heading(METRICS["elbo"], experiment) == "ELBO [nats] ↑"
    assert heading(METRICS["nll"], experiment) == "NLL (K = 4) [nats] ↓"
    assert heading(METRICS["rate"], experiment) == "rate [nats]"


def test_markdown_has_a_heading_for_each_family():
    shown = {"evidence": pd.DataFrame({"variant": ["a"]}), "collapse": pd.DataFrame({"variant": ["b"]})}
    assert markdown(shown) == (
        "## Evidence\n\n| variant |\n| --- |\n| a |\n\n## Posterior collapse\n\n| variant |\n| --- |\n| b |\n"
    )


def test_latex_is_a_booktabs_table_for_each_family_with_special_characters_escaped(make_experiment):
    shown = pd.DataFrame({"variant": ["a_b & c"], "ELBO [nats] ↑": ["−1.00 [−2.00, 0.00]"], "SSIM": ["–"]})
    text = latex(make_experiment(), {"evidence": shown, "levels": shown})
    for command in (
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
        r"a\_b \& c",
        r"ELBO [nats] $\uparrow$",
        r"$-$1.00 [$-$2.00, 0.00] & -- \\",
    ):
        assert text.count(command) == 2
    assert [line for line in text.splitlines() if line.startswith("% ")][1:] == ["% Evidence", "% Bits per dimension"]
    assert text.isascii()


def test_latex_knows_every_sign_of_every_heading(make_experiment):
    experiment = make_experiment()
    headings = pd.DataFrame({heading(metric, experiment): ["–"] for metric in METRICS.values()})
    assert latex(experiment, {"levels": headings}).isascii()
