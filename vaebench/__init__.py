"""A reproducible benchmark suite for variational autoencoders.

In Python, beside the command line: `run` does all that an experiment file asks for, `load` reads its results.

>>> import vaebench as vb
>>> first = vb.load("results/first")
>>> first.runs.shape[0], first.summary.variant.tolist()
(6, ['bce', 'beta-4'])
>>> model = first.model("beta-4-z8-s0")
>>> model.reconstruct(first.images("beta-4-z8-s0")).shape
torch.Size([360, 64])

What a user can mend is raised as `UserError`, in one line.
"""

from importlib import import_module
from typing import Any

# Imported when they are asked for, so that a part of the package needs only what it uses itself.
_PUBLIC = {"load": "loading", "run": "workflow", "LoadedExperiment": "loading", "UserError": "errors"}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_PUBLIC]
