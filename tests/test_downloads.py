"""Downloads from a real server on this machine: nothing is used, or kept, before its checksum is known to be right."""

import gzip
import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets

from vaebench.datasets import BinarizedMnist, Dataset, FashionMnist, Mnist, _TorchvisionDataset
from vaebench.errors import UserError


class Server(ThreadingHTTPServer):
    """Gives the `files` of a path; one that is `cut` is promised longer than it is. asked: paths, in turn."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        content = self.server.files.get(self.path)
        self.send_response(404 if content is None else 200)
        content = content or b"<h1>not found</h1>"
        self.send_header("Content-Length", str(len(content) + (100 if self.path in self.server.cut else 0)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def idx(n: int, shape: tuple[int, ...]) -> bytes:
    """n items in MNIST's format: a header of 4 bytes for each axis and 4 more, then bytes."""
    header = bytes([0, 0, 8, 1 + len(shape)]) + b"".join(size.to_bytes(4, "big") for size in (n, *shape))
    return header + bytes(n * int(np.prod(shape)))


@pytest.fixture(params=[Mnist, FashionMnist, BinarizedMnist])
def dataset(request, server, monkeypatch) -> Dataset:
    """One whose right files the server has, with their checksums: far smaller ones than the real."""
    kind = request.param
    if issubclass(kind, _TorchvisionDataset):
        small = {"train-images": idx(5, (28, 28)), "train-labels": idx(5, ()), "t10k-images": idx(2, (28, 28))}
        small = {f"{name}-idx{3 if 'images' in name else 1}-ubyte": content for name, content in small.items()}
        small["t10k-labels-idx1-ubyte"] = idx(2, ())
        monkeypatch.setattr(kind, "sizes", {"train": 3, "validation": 2, "test": 2})
        monkeypatch.setattr(kind, "sha256", {name: hashlib.sha256(each).hexdigest() for name, each in small.items()})
        source = getattr(torchvision.datasets, kind.torchvision_name)
        monkeypatch.setattr(source, "mirrors", [f"{server.address}first/", f"{server.address}second/"])
        server.files = {f"/second/{name}.gz": gzip.compress(content) for name, content in small.items()}
    else:
        text = ("0 " * 783 + "1\n").encode()
        monkeypatch.setattr(kind, "text_sha256", dict.fromkeys(kind.text_sha256, hashlib.sha256(text).hexdigest()))
        monkeypatch.setattr(kind, "url", server.address)
        server.files = {f"/binarized_mnist_{part}.amat": text for part in kind.text_sha256}
    return kind()


def files(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def last(server: Server) -> str:
    """The last file that is asked for: those before it are there by then."""
    return list(server.files)[-1]


def spoil(server: Server, how: str) -> None:
    path = last(server)
    content = server.files[path]
    if how == "altered":
        middle = len(content) // 2
        server.files[path] = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    elif how == "truncated":
        server.files[path] = content[:-9]
    elif how == "cut off":
        server.files[path] = content[:-9]
        server.cut.add(path)
    elif how == "another file":
        server.files[path] = gzip.compress(b"another") if path.endswith(".gz") else b"another"
    elif how == "a page":
        server.files[path] = b"<h1>Please log in</h1>"
    else:
        del server.files[path]


@pytest.mark.parametrize("how", ["altered", "truncated", "cut off", "another file", "a page", "not found"])
def test_a_wrong_download_is_refused_and_a_right_one_is_taken_at_the_next_try(dataset, server, tmp_path, how):
    right, name = dict(server.files), Path(last(server)).name
    spoil(server, how)
    with pytest.raises(UserError) as error:
        dataset.load(tmp_path)
    [line] = str(error.value).splitlines()
    assert line.startswith(f"{dataset.kind}: could not download")
    assert name.removesuffix(".gz") in line
    assert server.address in line
    assert name not in files(tmp_path)
    assert len(files(tmp_path)) == len(right) - 1
    server.files, server.cut = right, set()
    assert dataset.load(tmp_path)["test"].images.shape[1] == 784
    expected = {Path(path).name: content for path, content in right.items()}
    assert files(tmp_path) == expected, "and nothing else"


def test_what_is_there_is_not_asked_for_again(dataset, server, tmp_path):
    dataset.load(tmp_path)
    n_asked = len(server.asked)
    dataset.load(tmp_path)
    assert len(server.asked) == n_asked
    # A file that was altered on the disk is named, and not written over.
    path = next(path for path in tmp_path.rglob("*") if path.name == Path(last(server)).name)
    path.write_bytes(b"altered")
    with pytest.raises(UserError, match=re.escape(str(path)) + ".*; delete it to have it downloaded again"):
        dataset.load(tmp_path)
    assert path.read_bytes() == b"altered"
