"""The HTML report in Chromium: no violation of axe, no sideways scroll, no script of a stranger."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import needs_sources
from tests.render import audits, comparisons, specimens
from xai_audit.render import comparison_html, renderers

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("reports")
    for case in ("failing", "followed", "hostile", "multiclass"):
        (path / f"{case}.html").write_bytes(renderers["html"](audits.ALL[case]()))
    (path / "comparison.html").write_bytes(comparison_html.render(comparisons.worse()))
    for case, make in specimens.ALL.items():
        (path / f"{case}.html").write_bytes(renderers["html"](make()))
    return path


EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The HTML report of an example, its data prepared and its audit run here, once for all tests of this file."""
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            for file in ("prepare.py", "audit.yaml"):
                shutil.copy(EXAMPLES / name / file, folder)
            options = ["--quiet", "--set", "run.jobs=1", "--set", "report.formats=[html]"]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(EXAMPLES.parent)}
            for command in (["prepare.py"], ["-m", "xai_audit", "run", "audit.yaml", "-o", "out", *options]):
                done = subprocess.run(
                    [sys.executable, *command],
                    cwd=folder, env=environment, capture_output=True, text=True, check=False,
                )  # fmt: skip
                assert done.returncode in {0, 1, 3}, done.stderr
            made[name] = folder / "out" / "report.html"
        return made[name]

    return of


def violations(page) -> list[str]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:160]}" for v in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("case", ["failing", "followed", "comparison", "images", "texts"])
def test_axe_finds_nothing(browser, folder: Path, case: str, scheme: str, width: int):
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    page.goto((folder / f"{case}.html").as_uri())
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    assert violations(page) == []
    context.close()


@needs_sources
@pytest.mark.parametrize(
    ("width", "scheme", "scripted"),
    # Every pair of the three occurs; each alone takes seconds.
    [(1280, "light", True), (1280, "dark", False), (360, "light", False), (360, "dark", True)],
)
@pytest.mark.parametrize("name", ["berkeley", "diabetes"])
def test_axe_finds_nothing_in_the_report_of_an_example(
    browser, real, tmp_path: Path, name: str, width: int, scheme: str, scripted: bool
):
    text = real(name).read_text(encoding="utf-8")
    assert len(text.encode()) < 3_000_000
    if not scripted:
        # axe itself needs JavaScript, so what a reader without it sees is the page without its own script.
        before, script, after = text.rpartition("<script>")
        assert script
        text = before + after.partition("</script>")[2]
    page_file = tmp_path / "report.html"
    page_file.write_text(text, encoding="utf-8")
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert (page.locator("th button").count() > 0) == scripted
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Folded tables are part of the report.
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_a_link_into_a_folded_table_opens_it(browser, folder: Path):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto((folder / "failing.html").as_uri())
    fold = page.locator("#reproduction details", has=page.locator("tr[id]")).first
    row = fold.locator("tr[id]").last
    assert row.is_hidden()
    page.goto((folder / "failing.html").as_uri() + f"#{row.get_attribute('id')}")
    assert row.is_visible()
    context.close()


@pytest.mark.parametrize(
    "case", ["failing", "followed", "comparison", "hostile", "multiclass", "images", "texts"]
)
@pytest.mark.parametrize("width", [1280, 640, 360, 320])
def test_no_page_scrolls_sideways(browser, folder: Path, case: str, width: int):
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    page.goto((folder / f"{case}.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_without_javascript_everything_is_there(browser, folder: Path):
    context = browser.new_context(java_script_enabled=False, viewport={"width": 360, "height": 900})
    page = context.new_page()
    page.goto((folder / "failing.html").as_uri())
    assert page.locator("h1").inner_text().startswith("2\u00a0blocking rules failed")
    assert page.locator("th button").count() == 0
    assert page.locator(".wide svg").first.is_hidden()
    assert page.locator(".narrow svg").first.is_visible()
    context.close()


def test_hostile_names_run_nothing_and_ask_for_nothing(browser, folder: Path):
    context = browser.new_context()
    page = context.new_page()
    seen: list[str] = []
    page.on("dialog", lambda dialog: (seen.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda message: seen.append(message.text))
    page.on(
        "request",
        lambda request: seen.append(request.url) if not request.url.startswith(("file:", "data:")) else None,
    )
    page.goto((folder / "hostile.html").as_uri())
    page.mouse.move(300, 300)
    assert seen == []
    assert "<script>document.title='run'</script>" in page.title()
    assert "{{ 7*7 }}" in page.content()
    assert "{{ 7*7 }}" in page.locator("main").inner_text()
    context.close()


def test_tables_sort_by_number_and_filter_by_word(browser, folder: Path):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto((folder / "failing.html").as_uri())
    table = page.locator("#performance table.k-overall")
    page.set_default_timeout(5000)
    head = table.locator("th", has=page.get_by_role("button", name="n", exact=True))
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    sizes = [int(text) for text in table.locator("tbody tr td:nth-child(3)").all_inner_texts()]
    assert sizes == sorted(sizes)
    register = page.locator("#reproduction .sheet", has=page.locator("table.k-register"))
    if register.locator("summary").count():
        register.locator("summary").click()
    register.locator("input").fill("shap/")
    shown = register.locator("tbody tr:visible").count()
    assert 0 < shown < register.locator("tbody tr").count()
    context.close()


@pytest.mark.parametrize("width", [1280, 320])
def test_pictures_and_marked_words_are_there_without_javascript(browser, folder: Path, width: int):
    context = browser.new_context(java_script_enabled=False, viewport={"width": width, "height": 900})
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition(":")[0]))
    page.goto((folder / "images.html").as_uri())
    frames = page.locator("#explanations .frame svg")
    assert frames.count() > 20
    box = frames.nth(1).bounding_box()
    assert box is not None
    assert box["width"] > 60
    assert set(asked) <= {"file", "data"}
    page.goto((folder / "texts.html").as_uri())
    marked = page.locator("#explanations .words .against").first
    assert marked.is_visible()
    fold = page.locator("#explanations figure details").first
    fold.locator("summary").click()
    assert fold.locator(".words").is_visible()
    context.close()
