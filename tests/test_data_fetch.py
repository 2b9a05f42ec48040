"""Downloads, from a server on this machine that is slow, stops early, sends wrong bytes, or is not there; and the registry."""

from __future__ import annotations

import hashlib
import http.server
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from pydgm import data
from pydgm.data import DataError, __main__, published
from pydgm.data.__main__ import FILES, File, main

CONTENT = bytes(range(256)) * 2000  # half a megabyte
NAMES = ("one.bin", "two.bin")


class Server:
    """Serves the files of ``NAMES`` under ``set/``; ``behave(handler, name, body)`` may do something else."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.behave = lambda handler, name, body: None
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                name, span = self.path.rpartition("/")[2], self.headers.get("Range", "")
                server.asked.append((name, span))
                begin = int(span.removeprefix("bytes=").rstrip("-")) if span else 0
                body = CONTENT[begin:]
                if server.behave(self, name, body):
                    return
                self.send_response(206 if span else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("PYDGM_DATA", raising=False)
    digest = hashlib.sha256(CONTENT).hexdigest()
    monkeypatch.setitem(FILES, "mnist", tuple(File(name, digest) for name in NAMES))
    monkeypatch.setattr(__main__, "TIMEOUT", 1.0)
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


def fetch(server: Server) -> int:
    return main(["fetch", "mnist", "--mirror", server.url])


def folder(tmp_path: Path) -> Path:
    return tmp_path / "pydgm" / "mnist"


def test_a_set_is_fetched_once(server, tmp_path, capsys) -> None:
    assert fetch(server) == 0
    assert [(folder(tmp_path) / name).read_bytes() == CONTENT for name in NAMES] == [True, True]
    assert sorted(path.name for path in folder(tmp_path).iterdir()) == sorted(NAMES)
    assert fetch(server) == 0
    assert server.asked == [(name, "") for name in NAMES]
    assert "lessons find it there" in capsys.readouterr().out


def test_a_set_goes_into_the_cache_or_where_it_is_told_to(server, tmp_path, monkeypatch, capsys) -> None:
    """And never into a shared folder only because PYDGM_DATA names it."""
    named, shared = tmp_path / "named", tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setenv("PYDGM_DATA", str(shared))
    assert fetch(server) == 0
    assert "so lessons look there: unset it, or pass --data" in capsys.readouterr().out
    assert not list(shared.iterdir())
    assert (folder(tmp_path) / "one.bin").read_bytes() == CONTENT
    assert main(["fetch", "mnist", "--mirror", server.url, "--data", str(named)]) == 0
    assert (named / "mnist" / "one.bin").read_bytes() == CONTENT


def stops_early(handler, name, body) -> bool:
    handler.send_response(206 if handler.headers.get("Range") else 200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    handler.wfile.flush()
    handler.connection.close()
    return True


def is_slow(handler, name, body) -> bool:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[:100_000])
    handler.wfile.flush()
    time.sleep(2.0)  # longer than the time that is waited without a byte
    return True


@pytest.mark.parametrize("behave", [stops_early, is_slow])
def test_what_was_interrupted_goes_on(server, tmp_path, capsys, behave) -> None:
    server.behave = behave
    assert fetch(server) == 2
    said = capsys.readouterr().err
    assert "one.bin could not be had" in said
    assert said.count("\n") == 1
    assert not (folder(tmp_path) / "one.bin").exists()
    server.behave = lambda *_: None
    assert fetch(server) == 0
    name, span = server.asked[1]
    assert name == "one.bin"
    assert int(span.removeprefix("bytes=").rstrip("-")) > 50_000
    assert (folder(tmp_path) / "one.bin").read_bytes() == CONTENT
    assert sorted(path.name for path in folder(tmp_path).iterdir()) == sorted(NAMES)


def test_wrong_bytes_are_refused_and_forgotten(server, tmp_path, capsys) -> None:
    def corrupt(handler, name, body) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[:-1] + b"x")
        return True

    server.behave = corrupt
    assert fetch(server) == 2
    assert "hash" in capsys.readouterr().err
    assert not list(folder(tmp_path).iterdir())
    server.behave = lambda *_: None
    assert fetch(server) == 0
    assert server.asked[1] == ("one.bin", "")


def test_a_server_that_cannot_go_on_sends_all(server, tmp_path) -> None:
    folder(tmp_path).mkdir(parents=True)
    (folder(tmp_path) / ".one.bin.part").write_bytes(b"something else")

    def whole(handler, name, body) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        handler.wfile.write(CONTENT)
        return True

    server.behave = whole
    assert fetch(server) == 0
    (folder(tmp_path) / "two.bin").rename(folder(tmp_path) / ".two.bin.part")  # all is there, and was not moved yet

    def nothing_more(handler, name, body) -> bool:
        handler.send_response(416)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    server.behave = nothing_more
    assert fetch(server) == 0
    assert (folder(tmp_path) / "two.bin").read_bytes() == CONTENT


def test_no_server_and_no_file_are_a_sentence(server, tmp_path, capsys) -> None:
    def absent(handler, name, body) -> bool:
        handler.send_error(404)
        return True

    server.behave = absent
    assert fetch(server) == 2
    assert "404" in capsys.readouterr().err
    server.http.shutdown()
    server.http.server_close()
    assert fetch(server) == 2
    said = capsys.readouterr().err
    assert "one.bin could not be had from http://127.0.0.1" in said
    assert said.count("\n") == 1
    assert main(["fetch", "binarized_mnist"]) == 2
    assert "--mirror" in capsys.readouterr().err
    for wrong in (
        ["fetch"],
        ["fetch", "nothing"],
        [],
        ["walk"],
        ["verify", "--data", "nowhere"],
        ["list", "--data", "nowhere"],
    ):
        with pytest.raises(SystemExit) as refused:
            main(wrong)
        assert refused.value.code == 2


def test_verify_names_what_is_wrong(server, tmp_path, monkeypatch, capsys) -> None:
    place = tmp_path / "data"
    (place / "mnist").mkdir(parents=True)
    for name in NAMES:
        (place / "mnist" / name).write_bytes(CONTENT)
    assert main(["verify", "--data", str(place)]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "whole" in lines["mnist"]
    assert "not here" in lines["sst2"]
    (place / "mnist" / "two.bin").write_bytes(CONTENT[:-1])
    assert main(["verify", "--data", str(place)]) == 2
    assert "damaged: two.bin" in capsys.readouterr().out
    (place / "mnist" / "two.bin").unlink()
    assert main(["verify", "--data", str(place)]) == 2
    assert "missing: two.bin" in capsys.readouterr().out


def test_the_registry_lists_and_loads(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("PYDGM_DATA", str(tmp_path))
    (tmp_path / "uci_binary").mkdir()
    monkeypatch.setattr(published, "CONTENT", {})
    bits = np.random.default_rng(0).integers(0, 2, (30, 7)).astype("uint8")
    np.savez(tmp_path / "uci_binary" / "dna.npz", train=bits, valid=bits[:9], test=bits[:5])
    dna = data.load("dna")
    assert (len(dna.train), len(dna.valid), len(dna.test), dna.shape, dna.real) == (30, 9, 5, (7,), True)
    assert dna.train.x.dtype == np.float32
    assert main(["list"]) == 0
    listed = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(listed) == set(data.SETS)
    assert str(tmp_path) in listed["dna"]
    assert "not here" in listed["mnist"]
    assert "made here" in listed["digits"]
    with pytest.raises(ValueError, match="no data set 'minst': there are digits"):
        data.load("minst")
    with pytest.raises(DataError, match="there is no folder"):
        data.load("mnist")  # PYDGM_DATA names a folder without it
    monkeypatch.delenv("PYDGM_DATA")
    monkeypatch.setattr(data.registry, "find", lambda name, folder: None)
    with pytest.raises(DataError, match=r"python -m pydgm\.data fetch mnist"):
        data.load("mnist")
    for name, shape in (("digits", (28, 28)), ("characters", (28, 28)), ("reviews", ())):
        options = {"per_character": 1} if name == "characters" else {}
        one, two = data.load(name, seed=3, **options), data.load(name, seed=3, **options)
        assert not one.real
        assert one.shape == shape
        if shape:
            assert (one.test.x == two.test.x).all()
            assert len(one.valid) > 0
        else:
            assert one.test.words == two.test.words
    for name, reader in (("omniglot", "per_character"), ("sst2", "phrases")):
        assert reader in data.SETS[name].read.__code__.co_varnames


@pytest.mark.real_data
def test_the_real_files_are_whole(real_data, capsys) -> None:
    real_data("mnist")
    assert main(["verify"]) == 0
    assert capsys.readouterr().out.count("whole") >= 1
