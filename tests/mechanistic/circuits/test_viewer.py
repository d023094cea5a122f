"""Circuits in circuit-tracer's own viewer, in Chromium.

The viewer is no part of this project: CIRCUIT_TRACER names a checkout of github.com/decoderesearch/circuit-tracer. Its page
loads five scripts from other hosts; without a network, copies are taken from CIRCUIT_TRACER_SCRIPTS.
"""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from tests.mechanistic.circuits.test_export import EDGES, decoder  # noqa: E402
from tests.verify.explained import runs  # noqa: E402
from xai_audit.mechanistic.circuits.export import circuit_tracer, packed, write_all  # noqa: E402

CHECKOUT, SCRIPTS = (os.environ.get(name) for name in ("CIRCUIT_TRACER", "CIRCUIT_TRACER_SCRIPTS"))
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
HOSTS = {"transformer-circuits.pub", "unpkg.com"}
"""Where the page has its scripts from."""


@pytest.fixture(scope="module")
def browser():
    if CHECKOUT is None:
        pytest.skip("CIRCUIT_TRACER names no checkout of circuit-tracer")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield launched
        launched.close()


class Served(http.server.SimpleHTTPRequestHandler):
    """The viewer's page, and below data/ and graph_data/ the graphs, as its own server has them."""

    def __init__(self, *args, graphs: Path, **more):
        self.graphs = graphs
        super().__init__(*args, **more)

    def translate_path(self, path):
        first, _, rest = urlsplit(path).path.lstrip("/").partition("/")
        return str(self.graphs / rest) if first in {"data", "graph_data"} else super().translate_path(path)

    def log_message(self, *_):
        """Quiet."""


class Opened:
    """A page on a graph, and all that it complained of or asked of others."""

    def __init__(self, browser, graphs: Path, slug: str):
        assets = Path(CHECKOUT) / "circuit_tracer" / "frontend" / "assets"
        handler = functools.partial(Served, directory=str(assets), graphs=graphs)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.told: list[str] = []
        self.page = browser.new_page(viewport={"width": 1500, "height": 1000})
        self.page.on("pageerror", lambda error: self.told.append(str(error)))
        self.page.on("console", lambda one: one.type == "error" and self.told.append(one.text))
        self.page.on("dialog", lambda one: (self.told.append(one.message), one.dismiss()))
        here = f"http://127.0.0.1:{self.server.server_port}/"
        self.page.route(lambda url: not url.startswith(here), self.outside)
        self.page.goto(f"{here}index.html?slug={slug}")
        self.page.wait_for_selector(".subgraph .supernode-container", timeout=20_000)

    def outside(self, route):
        url = urlsplit(route.request.url)
        name = Path(url.path).name
        if url.hostname not in HOSTS:
            self.told.append(f"asks {route.request.url}")
            route.abort()
        elif name == "hotserver-client-ws.js":  # reloads the page of who writes it
            route.fulfill(body="", content_type="text/javascript")
        elif SCRIPTS is None:
            route.continue_()
        else:
            route.fulfill(path=Path(SCRIPTS) / name, content_type="text/javascript")

    def nodes(self) -> list[dict]:
        """What is drawn, from the lowest row: name, row by its place, and where it is."""
        found = self.page.eval_on_selector_all(
            ".link-graph text.node",
            "all => all.map(one => ({name: one.__data__.ppClerp, id: one.__data__.nodeId, at: one.__data__.pos,"
            " box: one.getBoundingClientRect().toJSON()}))",
        )
        heights = sorted({round(one["at"][1]) for one in found}, reverse=True)
        return sorted(
            ({**one, "row": heights.index(round(one["at"][1]))} for one in found), key=lambda one: one["row"]
        )

    def painted(self) -> int:
        """Pixels of links on all canvases."""
        return self.page.evaluate(
            "() => [...document.querySelectorAll('.link-graph canvas')].reduce((sum, one) => sum + one.getContext('2d')"
            ".getImageData(0, 0, one.width, one.height).data.filter((value, i) => i % 4 == 3 && value > 0).length, 0)"
        )

    def click(self, node) -> str:
        """Hovers and clicks a node; gives the tooltip and the panels."""
        box = node["box"]
        at = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        self.page.mouse.move(*at)
        tip = self.page.locator(".tooltip").inner_text()
        self.page.mouse.click(*at)
        self.page.wait_for_timeout(400)  # its panels follow with a delay
        panels = [self.page.locator(one).inner_text() for one in (".node-connections", ".feature-detail")]
        self.page.mouse.click(*at)
        return "\n".join([tip, *panels])

    def close(self):
        self.page.close()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def opened(browser):
    pages = []

    def one(graphs: Path, slug: str) -> Opened:
        pages.append(Opened(browser, graphs, slug))
        return pages[-1]

    yield one
    for page in pages:
        page.close()


@pytest.mark.parametrize(
    ("run", "slug"),
    [
        ("circuits", "circuit_discovery-resample-graph"),
        ("circuits", "circuit_discovery-mean-graph"),
        ("latents", "circuit_discovery-resample-graph"),
    ],
)
def test_an_audits_circuit_is_drawn_and_can_be_asked(opened, tmp_path, run, slug):
    made, folder = getattr(runs, run)()
    (tmp_path / "evidence").symlink_to(folder / "evidence")
    (tmp_path / "audit.json").write_text(made.to_json(), encoding="utf-8")
    assert f"graphs/{slug}.json" in write_all(tmp_path, tmp_path / "other")
    page = opened(tmp_path / "other" / "graphs", slug)
    seen = made.get(slug.replace("-", "/", 1)).observation
    assert len(page.nodes()) == len(seen.nodes)
    assert page.page.locator(".subgraph .link-path").count() == len(seen.edges)
    assert page.painted() > 1000
    labels = [one.label or one.id for one in seen.nodes]
    for node in page.nodes():
        told = page.click(node)
        assert any(label in told for label in labels), told
        assert "undefined" not in told
    assert page.told == []


def hostile() -> dict:
    name = "<img src=x onerror=alert(1)>"
    return circuit_tracer(EDGES, decoder(input=name, inside=name, output=f'"(p={name}'), slug="a", told=name)


def test_names_of_the_data_are_no_markup(opened, tmp_path):
    graph = hostile()
    (tmp_path / "a.json").write_bytes(packed(graph).tobytes())
    (tmp_path / "graph-metadata.json").write_bytes(packed({"graphs": [graph["metadata"]]}).tobytes())
    page = opened(tmp_path, "a")
    nodes = page.nodes()
    assert [one["row"] for one in nodes] == [0, 1, 2, 3]
    for node in nodes:
        assert "onerror" in page.click(node)
    assert page.told == []
    assert page.page.locator("img").count() == 0
