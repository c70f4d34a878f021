"""Numbers and tables as text."""

import html
import math
import shutil
import subprocess
import unicodedata

import pandas as pd
import pytest

from vaebench.metrics import METRICS
from vaebench.presentation import (
    MEANING,
    Number,
    heading,
    latex,
    markdown,
    numbers,
    summary_column,
    variants_by_tasks,
)
from vaebench.trade_offs import TradeOffs


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
    assert list(map(str, numbers(*map(pd.Series, columns)))) == texts


def test_a_number_has_half_of_its_interval_with_the_same_decimals():
    [number] = numbers(*map(pd.Series, ([-24.21], [-24.3], [-24.12])))
    assert number == Number(-24.21, "−24.21", "[−24.30, −24.12]", "0.09")
    [alone] = numbers(*map(pd.Series, ([0.001], [math.nan], [math.nan])))
    assert (alone.interval, alone.half_width) == ("", "")


def test_bold_is_what_is_apart_from_all_that_it_is_compared_with():
    summary = pd.DataFrame(
        {
            "measure": ["mass", "mass", "density"],
            "binarisation": "none",
            "left_out": None,
            "elbo": [-9.0, -10.0, -1.0],
            "elbo_low": [-9.2, -10.4, -1.1],
            "elbo_high": [-8.8, -9.6, -0.9],
        }
    )
    assert [number.bold for number in summary_column(summary, METRICS["elbo"])] == [True, False, False]
    overlapping = summary.assign(elbo_high=[-8.8, -9.1, -0.9])
    assert not any(number.bold for number in summary_column(overlapping, METRICS["elbo"]))


def test_ranks_stand_at_numbers_that_compare_with_others_and_baselines_below_without(make_experiment):
    rows = pd.DataFrame({"variant": ["a", "b", "c"], "latent_size": 2, "likelihood": "made up", "n": 3, "n_diverged": 0})
    means = {"elbo": [-9.0, -12.0, 5.0], "psnr": [20.0, 20.5, 30.0]}
    for name, values in means.items():
        rows = rows.assign(**{name: values, f"{name}_low": pd.Series(values) - 1, f"{name}_high": pd.Series(values) + 1})
    rows = rows.assign(measure=["mass", "mass", "density"], binarisation="none", left_out=None)
    baselines = pd.DataFrame({"method": ["PCA, latent size 2"], "psnr": [12.0]})
    metrics = [METRICS["elbo"], METRICS["psnr"]]
    shown = variants_by_tasks(make_experiment(), TradeOffs(["variant", "latent_size"], metrics, rows, rows, baselines))
    assert shown.columns.tolist() == ["variant", "latent size", "ELBO [nats] ↑", "PSNR [dB] ↑", "seeds", "likelihood"]
    assert shown.iloc[3].map(str).tolist() == ["PCA, latent size 2", "", "–", "12.00", "", ""]
    assert [number.rank for number in shown["ELBO [nats] ↑"]] == ["1", "2", "", ""]
    assert [number.rank for number in shown["PSNR [dB] ↑"]] == ["2–3", "2–3", "1", ""]
    assert [number.bold for number in shown["PSNR [dB] ↑"]] == [False, False, True, False]
    assert str(shown["PSNR [dB] ↑"][0]) == "20.00 [19.00, 21.00] (2–3)"


def test_headings_say_unit_direction_and_samples(make_experiment):
    experiment = make_experiment()
    assert heading(METRICS["elbo"], experiment) == "ELBO [nats] ↑"
    assert heading(METRICS["nll"], experiment) == "NLL (K = 4) [nats] ↓"
    assert heading(METRICS["rate"], experiment) == "rate [nats]"


SHOWN = pd.DataFrame(
    {
        "variant": ["a_b & c", "d"],
        "seeds": ["3", "3"],
        "ELBO [nats] ↑": [Number(-1, "−1.00", "[−2.00, 0.00]", "1.00"), Number(0.5, "0.50", "[0.10, 0.90]", "0.40", True)],
        "SSIM ↑": [Number(math.nan, "–"), Number(0.25, "0.25")],
    }
)


def test_markdown_has_a_heading_for_each_family_and_the_best_in_bold():
    table = "| variant | seeds | ELBO [nats] ↑ | SSIM ↑ |\n| --- | --- | --- | --- |\n"
    table += "| a_b & c | 3 | −1.00 [−2.00, 0.00] | – |\n| d | 3 | **0.50 [0.10, 0.90]** | 0.25 |\n"
    expected = f"{MEANING}\n\n## Evidence\n\n{table}\n## Posterior collapse\n\n{table}"
    assert markdown({"evidence": SHOWN, "collapse": SHOWN}) == expected


def test_latex_is_a_booktabs_table_for_each_family_with_special_characters_escaped(make_experiment):
    text = latex(make_experiment(), {"evidence": SHOWN, "levels": SHOWN})
    for command in (
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
        r"a\_b \& c & $-1.00 \pm 1.00$ & -- \\",
        r"d & $\mathbf{0.50 \pm 0.40}$ & $0.25$ \\",
        "variant & ELBO & SSIM \\\\\n & [nats] $\\uparrow$ & $\\uparrow$ \\\\",
    ):
        assert text.count(command) == 2, command
    assert r"\label{tab:tiny-evidence}" in text
    assert r"\caption{Bits per dimension on digits, seeds 3. Mean over seeds" in text
    assert text.count("seeds") == 2 * 2, "what all rows share stands in the caption alone"
    assert text.isascii()


def test_latex_knows_every_sign_of_every_heading(make_experiment):
    experiment = make_experiment()
    numbers = {heading(metric, experiment): [Number(math.nan, "–")] for metric in METRICS.values()}
    headings = pd.DataFrame({"variant": ["bce"], **numbers})
    assert latex(experiment, {"levels": headings}).isascii()


@pytest.mark.skipif(
    not shutil.which("pdflatex"), reason="pdflatex is not installed; apt-get install texlive-latex-recommended"
)
def test_pdflatex_compiles_the_tables(make_experiment, tmp_path):
    experiment = make_experiment()
    columns = {heading(metric, experiment): SHOWN["ELBO [nats] ↑"] for metric in METRICS.values()}
    shown = SHOWN[["variant", "seeds"]].assign(**columns)
    tables = latex(experiment, {"evidence": SHOWN, "collapse": shown})
    document = rf"\documentclass{{article}}\usepackage{{booktabs,graphicx}}\begin{{document}}{tables}\end{{document}}"
    (tmp_path / "paper.tex").write_text(document, encoding="ascii")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "paper.pdf").exists()


# All that LaTeX or Markdown takes for a sign of its own, HTML, commands, and letters and signs beyond ASCII.
SIGNS = r"& % $ # _ { } ~ ^ \ < > | '"
HOSTILE = rf"{SIGNS} \input{{/etc/passwd}} \write18{{touch pwned}} $x^2$ %" "\n\nσ β × é ≤ ² ≥ μ end"


def hostile() -> pd.DataFrame:
    """Names that differ, and a setting that is the same in all rows, so that it stands in the caption."""
    names = {"variant": [HOSTILE, "[other]"], "a setting": HOSTILE}
    return SHOWN.assign(**names)[["variant", "a setting", *SHOWN.columns[1:]]]


def test_latex_escapes_whatever_text_there_is(make_experiment):
    text = latex(make_experiment(), {"evidence": hostile()}, [HOSTILE])
    escaped = (
        r"\& \% \$ \# \_ \{ \} \textasciitilde{} \textasciicircum{} \textbackslash{} \textless{} \textgreater{} \textbar{}"
        r" ' \textbackslash{}input\{/etc/passwd\} \textbackslash{}write18\{touch pwned\} \$x\textasciicircum{}2\$ \%"
        r"  $\sigma$ $\beta$ $\times$ é $\leq$ $^2$ $\geq$ $\mu$ end"
    )
    # In a row, among the settings of the caption, and at its end.
    assert text.count(escaped) == 3
    assert "input{" not in text.replace(r"\{", "").replace("resizebox", "")
    assert "\n\n" not in text.partition(r"\begin{table}")[2]


def test_markdown_shows_texts_as_they_are():
    text = '<img src=x onerror="alert(1)"> | a_b & c, _d_ *e* `f` [g](h) ~i~ &lt; \\ \n# j'
    cells = markdown({"evidence": SHOWN.assign(variant=[text, "b"])}, [text])
    escaped = (
        '&#60;img src=x onerror="alert(1)"&#62; &#124; a_b & c, &#95;d&#95; &#42;e&#42; &#96;f&#96; &#91;g&#93;(h) '
        "&#126;i&#126; &#38;lt; &#92;  # j"
    )
    assert cells.splitlines()[0] == f"{MEANING} {escaped}"
    assert f"\n| {escaped} | 3 |" in cells
    assert html.unescape(escaped) == text.replace("\n", " ")


@pytest.mark.skipif(
    not (shutil.which("pdflatex") and shutil.which("pdftotext")), reason="pdflatex and pdftotext are not both installed"
)
def test_pdflatex_prints_whatever_text_there_is_and_runs_none_of_it(make_experiment, tmp_path):
    table = latex(make_experiment(), {"evidence": hostile()}, [HOSTILE])
    # Wide enough for a row on a line, in an encoding that has every sign as a letter.
    paper = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage[paperwidth=2000mm,textwidth=1900mm]{geometry}"
    paper += r"\usepackage{booktabs,graphicx}"
    (tmp_path / "paper.tex").write_text(rf"{paper}\begin{{document}}{table}\end{{document}}", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-shell-escape", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert not (tmp_path / "pwned").exists()
    assert "passwd" not in done.stdout
    printed = subprocess.run(
        ["pdftotext", "-layout", "paper.pdf", "-"], cwd=tmp_path, capture_output=True, text=True
    ).stdout
    words = unicodedata.normalize("NFKC", printed.replace("’", "'").replace(",", " ")).split()
    for word in unicodedata.normalize("NFKC", HOSTILE).split():
        assert words.count(word) >= 3, (word, printed)
