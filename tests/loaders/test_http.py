"""A real server on this machine that answers, fails, is slow, says nonsense, and counts who asks at once."""

from __future__ import annotations

import base64
import io
import json
import pickle
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from xai_audit.errors import MethodError, SpecError
from xai_audit.loaders import posting
from xai_audit.loaders.http import HttpAnswer
from xai_audit.reading import read_specs

SECRET = "s3cr3t-value-of-the-test"


class Served:
    """A server whose answer is a function of the instances; ``script`` overrides it request by request."""

    def __init__(self) -> None:
        self.answer = lambda rows: {"predictions": [one(row) for row in rows]}
        self.script: list = []
        self.requests: list[dict] = []
        self.headers: list[dict[str, str]] = []
        self.most = self.present = 0
        self.pause = 0.0
        self.lock = threading.Lock()
        served = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 5
            disable_nagle_algorithm = True  # head and body are two writes: else each answer waits 40 ms

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with served.lock:
                    served.present += 1
                    served.most = max(served.most, served.present)
                    served.requests.append({"path": self.path, **body})
                    served.headers.append(dict(self.headers))
                    step = served.script.pop(0) if served.script else None
                try:
                    time.sleep(served.pause)
                    if callable(step):
                        step(self)
                    elif step is not None:
                        self.reply(*step)
                    else:
                        self.reply(200, json.dumps(served.answer(body["instances"])).encode())
                except OSError:
                    pass  # the client has gone
                finally:
                    with served.lock:
                        served.present -= 1

            def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/models/m:predict"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def one(row: dict) -> float:
    return 0.5 if row["age"] is None else float(1 / (1 + np.exp((50 - row["age"]) / 10)))


@pytest.fixture
def served():
    made = Served()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def table(desk, people):
    frame = people.assign(id=[f"p{row}" for row in range(len(people))])
    desk.csv("t.csv", frame)
    return frame


def use(served, **more) -> dict:
    return {"format": "http", "url": served.url, "timeout": 5.0, **more}


DATA = {"test": "t.csv", "target": "y", "id": "id", "features": ["age", "income", "city", "member"]}


def asking(served, **more) -> HttpAnswer:
    settings = {"headers": {}, "batch": 8, "timeout": 3.0, "concurrency": 2, "text": False, "classes": None}
    return HttpAnswer(url=served.url, **{**settings, **more})


AGES = pd.DataFrame({"age": np.arange(20, 60)})


def test_rows_are_posted_by_name_and_come_back_in_order(desk, served, table):
    served.pause = 0.002
    subject = desk.load(use(served, concurrency=4), **DATA)
    expected = {row: one({"age": age}) for row, age in zip(table["id"], table.age, strict=True)}
    np.testing.assert_allclose(subject.scores[:, 1], [expected[row] for row in subject.test.ids], rtol=1e-15)
    assert subject.probabilities
    sent = served.requests[0]["instances"][0]
    assert set(sent) == {"age", "income", "city", "member"}
    assert isinstance(sent["age"], int)
    assert isinstance(sent["member"], bool)
    assert sent["city"] in {"Αθήνα", "Łódź", "София"}
    assert any(row["income"] is None for request in served.requests for row in request["instances"])
    # Each distinct row once, but for the first batch, which is asked again.
    rows = [json.dumps(row) for request in served.requests for row in request["instances"]]
    assert len(rows) - len(set(rows)) <= 64
    assert max(len(request["instances"]) for request in served.requests) <= 64
    notes = " ".join(subject.notes)
    assert "may change: its digest is of the URL alone" in notes
    assert "gave the same answers" in notes
    assert "5 requests of at most 64 rows" in notes
    assert "unencrypted" not in notes
    assert subject.model.details["url"] == served.url
    before = len(served.requests)
    subject.evaluate(subject.test.frame)
    assert len(served.requests) == before


def test_workers_ask_for_themselves(desk, served):
    subject = desk.load(use(served), **DATA)
    again = pickle.loads(pickle.dumps(subject.model))
    np.testing.assert_array_equal(
        again.scores(subject.test.frame[:9]), subject.model.scores(subject.test.frame[:9])
    )


@pytest.mark.parametrize(
    "answer",
    [
        lambda p: {"predictions": [[1 - v, v] for v in p]},
        lambda p: {"predictions": [{"scores": [v, 1 - v], "classes": ["1", "0"]} for v in p]},
        lambda p: {"predictions": [[v, 1 - v] for v in p], "classes": [1, 0]},
        lambda p: {"scores": [[1 - v, v] for v in p], "classes": [0, 1]},
    ],
)
def test_class_scores_by_place_or_by_name(desk, served, answer):
    served.answer = lambda rows: answer([one(row) for row in rows])
    subject = desk.load(use(served, classes=[0, 1]), **DATA)
    ages = subject.test.frame["age"].to_numpy()
    np.testing.assert_allclose(subject.scores[:, 1], 1 / (1 + np.exp((50 - ages) / 10)), rtol=1e-12)


def test_decisions_numbers_and_ranks(desk, served):
    served.answer = lambda rows: {"predictions": [row["age"] > 50 for row in rows]}
    subject = desk.load(use(served), **DATA)
    assert subject.scores is None
    assert subject.prediction.sum() == (subject.test.frame["age"] > 50).sum()
    served.answer = lambda rows: {"predictions": [3.0 * row["age"] for row in rows]}
    subject = desk.load(use(served, task="regression"), **{**DATA, "target": "income", "features": ["age"]})
    assert subject.task == "regression"
    np.testing.assert_array_equal(subject.prediction, 3 * subject.test.frame["age"])


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(served, status):
    served.script = [(status,), lambda handler: handler.connection.shutdown(2)]
    found = asking(served).scores(AGES[:4])
    assert found.shape == (4, 1)


def test_retry_after_is_honoured(served):
    served.script = [lambda handler: handler.reply(503, Retry_After="1")]
    started = time.monotonic()
    asking(served).scores(AGES[:1])
    assert time.monotonic() - started >= 1
    served.script = [lambda handler: handler.reply(429, Retry_After="60")]
    started = time.monotonic()
    with pytest.raises(MethodError, match="429 Too Many Requests"):
        asking(served).scores(AGES[1:2])
    assert time.monotonic() - started < 1


def test_tries_are_bounded(served, monkeypatch):
    monkeypatch.setattr(posting, "WAIT", 0.005)
    served.script = [(503,)] * 20
    with pytest.raises(MethodError, match=r"503 Service Unavailable \(6 attempts\)"):
        asking(served).scores(AGES[:1])
    assert len(served.requests) == posting.ATTEMPTS


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_will_not_pass_is_not_tried_again(served, status):
    served.script = [(status, SECRET.encode())]
    with pytest.raises(MethodError, match=str(status)) as caught:
        asking(served).scores(AGES[:1])
    assert len(served.requests) == 1
    assert SECRET not in str(caught.value)


def test_a_slow_server_is_given_up(served):
    served.pause = 1.5
    started = time.monotonic()
    with pytest.raises(MethodError, match=r"no answer within 0\.3 seconds"):
        asking(served, timeout=0.3).scores(AGES[:1])
    assert time.monotonic() - started < 1.2


def test_a_dripping_server_is_given_up(served):
    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(40):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)

    served.script = [drip]
    started = time.monotonic()
    with pytest.raises(MethodError, match="no answer within"):
        asking(served, timeout=0.4).scores(AGES[:1])
    assert time.monotonic() - started < 1.5


def test_no_server_at_all(served, monkeypatch):
    monkeypatch.setattr(posting, "WAIT", 0.001)
    answer = asking(served)
    answer.url = "http://127.0.0.1:9/v1"
    with pytest.raises(
        MethodError, match=r"http://127\.0\.0\.1:9/v1: no connection: Connection refused \(6 at"
    ):
        answer.scores(AGES[:1])


@pytest.mark.parametrize("limit", [1, 3])
def test_no_more_requests_at_a_time_than_allowed(served, limit):
    served.pause = 0.05
    asking(served, batch=2, concurrency=limit).scores(AGES)
    assert served.most == limit
    assert sum(len(request["instances"]) for request in served.requests) == 40 + 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "no JSON"),
        (b"<html>", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[1, 2]", "no JSON object"),
        (b"{}", "no list"),
        (b'{"predictions": 3}', "no list"),
        (b'{"predictions": [1]}', "2 rows are answered by 1 predictions"),
        (b'{"predictions": [1, 2, 3]}', "2 rows are answered by 3 predictions"),
        (b'{"predictions": [NaN, 1]}', "not finite"),
        (b'{"predictions": [1e999, 1]}', "not finite"),
        (b'{"predictions": [null, 1]}', "a number"),
        (b'{"predictions": ["yes", "no"]}', "a number"),
        (b'{"predictions": [[], []]}', "a number"),
        (b'{"predictions": [[1, 2], [1]]}', "different numbers of scores"),
        (b'{"predictions": [[1, 2], [1, 2]], "classes": ["a", "b"]}', "state model: classes"),
    ],
)
def test_answers_out_of_the_agreement(served, body, expected):
    served.script = [(200, body)]
    with pytest.raises(MethodError, match=expected) as caught:
        asking(served).scores(AGES[:2])
    assert str(caught.value).startswith(f"{served.url}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_flood_is_left(served, monkeypatch):
    monkeypatch.setattr(posting, "LARGEST", 10_000)
    served.script = [(200, b"[" + b"1," * 500_000)]
    with pytest.raises(MethodError, match="the answer is over"):
        asking(served).scores(AGES[:1])


def test_rows_are_not_sent_on_to_another_host(served):
    other = Served()
    try:
        served.script = [lambda handler: handler.reply(307, Location=other.url)]
        with pytest.raises(MethodError, match="another host, which is not followed"):
            asking(served).scores(AGES[:1])
        assert other.requests == []
    finally:
        other.close()
    served.script = [lambda handler: handler.reply(308, Location="/there")]
    asking(served).scores(AGES[:1])
    assert served.requests[-1]["path"] == "/there"
    served.script = [lambda handler: handler.reply(302, Location="/there")]
    with pytest.raises(MethodError, match="302, which does not keep a posted body"):
        asking(served).scores(AGES[1:2])


def test_a_server_that_answers_otherwise_when_asked_again_is_told(desk, served):
    rng = np.random.default_rng(0)
    served.answer = lambda rows: {"predictions": rng.random(len(rows)).tolist()}
    notes = desk.load(use(served), **DATA).notes
    assert any(
        "asked twice about the first 64 rows, the server answered otherwise for 64" in note for note in notes
    )


def test_a_failing_server_is_one_line_of_the_run(desk, served):
    served.script = [(404,)] * 9
    error = desk.refused(use(served), **DATA)
    assert error.exit_code == 4
    assert str(error).endswith(f"model.url: {served.url}: the server answers 404 Not Found")


def test_a_server_of_texts_is_audited_like_any_model(desk, served):
    texts = ["good day", "bad day", "Łódź bad", "good"] * 10
    pd.DataFrame({"said": texts, "y": [0, 1, 1, 0] * 10}).to_csv(desk.folder / "said.csv", index=False)
    served.answer = lambda rows: {"predictions": [0.9 if "bad" in row["text"] else 0.1 for row in rows]}
    subject = desk.load(use(served), test={"path": "said.csv", "text": "said"}, target="y")
    assert subject.modality == "text"
    np.testing.assert_array_equal(subject.prediction, subject.test.target)
    assert {tuple(row) for row in served.requests[0]["instances"]} == {("text",)}


def test_texts_and_pictures(served):
    texts = pd.DataFrame({"comment": np.array(["Łódź", "gut"], dtype=object)})
    served.answer = lambda rows: {"predictions": [len(row["text"]) for row in rows]}
    np.testing.assert_array_equal(asking(served, text=True).scores(texts), [[4], [3]])
    from PIL import Image

    def brightness(rows):
        pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(row["image"])))) for row in rows]
        return {"predictions": [float(picture.sum()) for picture in pictures]}

    served.answer = brightness
    column = np.empty(2, dtype=object)
    column[0] = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    column[1] = np.full((4, 4, 1), 7, dtype=np.uint8)
    found = asking(served).scores(pd.DataFrame({"image": column}))
    np.testing.assert_array_equal(found, [[48 * 47 / 2], [7 * 16]])


# ---------------------------------------------------------------------------------------------- the spec
def spec(desk, lines: str) -> Path:
    text = f"version: 1\nsystem: {{name: a}}\nmodel:\n{lines}data: {{test: {{path: t.csv}}, target: y, id: id, features: [age]}}\nmetrics: [accuracy]\nreport: {{formats: [html]}}\n"
    (desk.folder / "audit.yaml").write_text(text)
    return desk.folder / "audit.yaml"


def mistakes(path: Path) -> str:
    with pytest.raises(SpecError) as caught:
        read_specs([path])
    return str(caught.value)


def test_a_variable_reaches_the_server_and_nothing_else(desk, served, monkeypatch):
    """Not audit.json, not the report, not a file of the run, not an error, not what workers are given."""
    from xai_audit.pipeline import Options, run

    monkeypatch.setenv("MODEL_TOKEN", SECRET)
    path = spec(desk, f"  url: {served.url}\n  headers: {{Authorization: 'Bearer ${{MODEL_TOKEN}}'}}\n")
    made = read_specs([path])[0]
    assert made.model.format == "http"
    audited = run(made, [], desk.folder / "out", Options())
    assert served.headers[0]["Authorization"] == f"Bearer {SECRET}"
    files = [file for file in (desk.folder / "out").rglob("*") if file.is_file()]
    assert any(b"${MODEL_TOKEN}" in file.read_bytes() for file in files)
    assert all(SECRET.encode() not in file.read_bytes() for file in files)
    subject = desk.load(made.model.model_dump(), **DATA)
    assert SECRET.encode() not in pickle.dumps(subject.model)
    assert SECRET not in repr(subject)
    monkeypatch.setenv("MODEL_TOKEN", f"{SECRET}\nX-More: 1")
    fresh = pickle.loads(pickle.dumps(subject.model))
    with pytest.raises(MethodError, match="Authorization would hold a line break") as caught:
        fresh.scores(subject.test.frame[:1])
    assert SECRET not in str(caught.value)
    record = next(piece for piece in audited.evidence if piece.id == "model_digest")
    assert record.status == "skipped"
    assert "behind a URL and may change" in record.reason
    monkeypatch.delenv("MODEL_TOKEN")
    with pytest.raises(MethodError, match="MODEL_TOKEN is not set"):
        fresh.scores(subject.test.frame[:1])


@pytest.mark.parametrize(
    ("lines", "place", "expected"),
    [
        ("  format: http\n", "4:3", "format http posts rows to a URL; give one"),
        ("  url: ftp://a/b\n", "4:3", "http://host:port/path or https://host/path is asked"),
        ("  url: 'http://[::1'\n", "4:3", "is asked"),
        ("  url: https://user:pw@a.org/b\n", "4:3", "a URL is published"),
        ("  url: https://a.org/b?api_key=1\n", "4:3", "'api_key' in it looks like a credential"),
        ("  url: 'https://a.org/${HOME}'\n", "4:3", "in headers alone"),
        ("  url: https://a.org\n  headers: {X-Api-Key: abc}\n", "5:13", "a credential would be published"),
        (
            "  url: https://a.org\n  headers: {X-A: '${NO_SUCH_VARIABLE}'}\n",
            "5:13",
            "NO_SUCH_VARIABLE is not set",
        ),
        ("  url: https://a.org\n  headers: {X-A: '${'}\n", "5:13", "is written ${NAME}"),
        ("  url: https://a.org\n  headers: {Host: b.org}\n", "5:13", "set by the program"),
        ("  url: https://a.org\n  headers: {'a b': c}\n", "5:13", "no header's name"),
        ("  url: https://a.org\n  sha256: " + "0" * 64 + "\n", "5:3", "no digest of a model behind a URL"),
        ("  url: https://a.org\n  format: http\n  path: m.skops\n", "6:3", "has a url and no path"),
        ("  path: t.csv\n  format: skops\n  batch: 9\n", "6:3", "model.batch: belongs to format http"),
    ],
)
def test_mistakes_have_their_place_and_nothing_is_sent(desk, lines, place, expected):
    found = mistakes(spec(desk, lines))
    assert expected in found
    assert f"audit.yaml:{place}: " in found
    assert "pw" not in found.replace("user:pw@", "")


def test_checking_sends_nothing(desk, served):
    from xai_audit.cli import entry

    assert entry(["check", str(spec(desk, f"  url: {served.url}\n"))]) == 0
    assert served.requests == []


def test_rows_sent_in_the_clear_are_told():
    assert not posting.local("http://models.example.org/a")
    assert posting.local("http://localhost:80/")
    assert posting.local("http://[::1]:80/")
    assert posting.plain_url("https://u:p@[::1]:8/a?token=1#x") == "https://[::1]:8/a"
