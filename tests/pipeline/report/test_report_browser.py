"""The report clicked through in headless Chromium, from file://: nothing but the folder is asked for, no text runs."""

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from pipeline.report.build import write_report
from pipeline.report.run_tables import open_run
from tests.support.report_runs import HOSTILE, PHRASE, write_lossy_run, write_other_prompt

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`one`: a run's report; `two`: the same beside another prompt. Made before the browser, whose event loop would be in the way."""
    folder = tmp_path_factory.mktemp("runs")
    first, second = write_lossy_run(folder), write_other_prompt(folder)
    write_report([first], folder / "one", 50, 10_000, NOW)
    write_report([first, second], folder / "two", 50, 10_000, NOW)
    return {"one": folder / "one", "two": folder / "two", "config": first}


@pytest.fixture(scope="module")
def chromium(reports: dict[str, Path]) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path is not None, "the report is clicked through in Chromium: install Debian's package `chromium`, as .ci/run does"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A page whose complaints, and requests for anything that is no file of the report, fail the test."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(120_000)  # a loaded machine is no failure
    opened, troubles = context.new_page(), []
    opened.on("console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("request", lambda request: None if request.url.startswith(("file://", "data:")) else troubles.append(request.url))
    opened.on("requestfailed", lambda request: troubles.append(f"failed: {request.url}"))
    yield opened
    context.close()
    assert troubles == []


def open_samples(page: Any, report: Path, chosen: str = "") -> None:
    page.goto(f"{(report / 'samples.html').as_uri()}#{chosen}")
    page.wait_for_selector(".list button, .detail .headline")


def names(page: Any) -> list[str]:
    return [text.strip() for text in page.locator(".list .name").all_inner_texts()]


def test_hovering_a_box_lights_its_phrase_and_its_card(page: Any, reports: dict[str, Path]) -> None:
    open_samples(page, reports["one"], "find=wooden+mug.+it+seems")
    number = page.locator(".phrase.tied", has_text=PHRASE).get_attribute("data-regions")
    page.locator(f"svg g[data-regions='{number}'] .box").hover(force=True)
    assert page.locator(".phrase.lit").all_inner_texts() == [PHRASE]
    assert page.locator(".region.lit").get_attribute("data-regions") == number
    page.locator(".heading h2").hover()
    assert page.locator(".lit").count() == 0


def test_hovering_a_phrase_lights_its_box_and_a_click_opens_its_negatives(page: Any, reports: dict[str, Path]) -> None:
    open_samples(page, reports["one"], "find=wooden+mug.+it+seems")
    phrase = page.locator(".phrase.tied", has_text=PHRASE)
    phrase.hover()
    assert page.locator("svg g.lit").get_attribute("data-regions") == phrase.get_attribute("data-regions")
    phrase.click()
    card = page.locator(".region.pinned")
    first = card.locator(".negatives li").first
    assert first.is_visible()
    old, new = first.locator("del").inner_text(), first.locator("ins").inner_text()
    assert old != new
    text = first.locator(".text")
    assert new in str(text.get_attribute("title"))
    assert old in card.locator(".about bdi").last.inner_text()


def test_filters_narrow_the_list_and_the_address_keeps_them(page: Any, reports: dict[str, Path]) -> None:
    open_samples(page, reports["one"])
    everything = names(page)
    page.select_option("select[name=status]", "failed")
    assert set(names(page)) < set(everything)
    page.select_option("select[name=reason]", "unreadable")
    assert names(page) == ["p07"]
    assert "unreadable" in page.locator(".why").inner_text()
    assert page.locator(".picture").inner_text() == "no picture: unreadable"
    page.reload()
    page.wait_for_selector(".list button")
    assert names(page) == ["p07"]
    page.click("button[type=reset]")
    expect(page.locator(".list button")).to_have_count(len(everything))
    kinds = page.locator("select[name=type] option").evaluate_all("options => options.map(option => option.value).filter(Boolean)")
    page.select_option("select[name=type]", kinds[0])
    assert 0 < len(names(page)) < len(everything)
    assert page.locator(f".negatives li.sought[data-type={kinds[0]}]").first.is_visible()


def test_a_loss_on_the_figures_page_leads_to_its_images(page: Any, reports: dict[str, Path]) -> None:
    page.goto((reports["one"] / "index.html").as_uri())
    page.locator("#losses a", has_text="duplicate").click()
    page.wait_for_selector(".list button")
    assert names(page) == ["p09"]
    assert page.locator(".list .chip").inner_text() == "filtered at caption: duplicate"
    assert page.locator(".picture img").evaluate("image => image.naturalWidth") == 96


def test_a_loss_of_the_second_run_leads_to_that_run(page: Any, reports: dict[str, Path]) -> None:
    page.goto((reports["two"] / "index.html").as_uri())
    row = page.locator(".losses tbody tr", has=page.locator(".tag.s1")).filter(has_text="bad request")
    count = int(row.locator("td").nth(-2).inner_text())
    row.locator("a").click()
    page.wait_for_selector(".list button")
    assert page.locator("select[name=side]").input_value() == "1"
    assert page.locator(".list .chip").all_inner_texts() == ["failed at caption: bad request"] * count


def test_every_image_of_both_runs_shows_without_a_slip(page: Any, reports: dict[str, Path]) -> None:
    open_samples(page, reports["two"])
    for _ in names(page):
        assert not re.search(r"\[object|undefined|NaN", page.locator(".detail").evaluate("element => element.textContent"))
        page.keyboard.press("ArrowRight")
    page.keyboard.press("d")
    assert page.locator(".turn input").is_checked()


def test_the_keyboard_walks_through_images_and_regions(page: Any, reports: dict[str, Path]) -> None:
    open_samples(page, reports["one"], "status=ok")
    first, second = names(page)[:2]
    page.keyboard.press("ArrowRight")
    assert page.locator(".heading h2 bdi").first.inner_text() == second
    page.keyboard.press("k")
    assert page.locator(".heading h2 bdi").first.inner_text() == first
    page.keyboard.press("1")
    assert page.locator(".region.pinned").get_attribute("data-regions") == "0"
    page.keyboard.press("Escape")
    assert page.locator(".region.pinned").count() == 0
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "find"


def test_hostile_texts_are_shown_and_do_not_run(page: Any, reports: dict[str, Path]) -> None:
    open_samples(page, reports["one"], "find=wooden+mug.+it+seems")
    shown = page.locator(".caption").first.evaluate("element => element.textContent")
    assert shown.startswith(HOSTILE)
    assert page.locator(".detail img").count() == 1
    for name in ("samples.html", "index.html"):
        page.goto((reports["one"] / name).as_uri())
        page.wait_for_load_state("load")
        assert page.evaluate("window.ran") is None


def test_two_runs_show_the_same_image_under_both_prompts(page: Any, reports: dict[str, Path]) -> None:
    open_samples(page, reports["two"], "status=ok")
    views = page.locator(".view")
    assert views.locator("h3 .tag").all_inner_texts() == ["A", "B"]
    assert len({views.nth(side).locator(".picture img").get_attribute("src") for side in (0, 1)}) == 1
    for side in range(len(names(page))):
        texts = page.locator(".view .caption").all_inner_texts()
        if page.locator(".view .why").count() == 0:
            assert texts[0] != texts[1], side
            break
        page.keyboard.press("ArrowRight")
    page.goto((reports["two"] / "index.html").as_uri())
    assert page.locator(".funnel tbody tr").count() == 2 * len(open_run(reports["config"]).stages)
    assert re.search(r"Describe the image in one sentence", page.locator(".differences").inner_text())


@pytest.mark.parametrize("width", (390, 1400))
@pytest.mark.parametrize("scheme", ("light", "dark"))
def test_nothing_runs_out_of_the_page(chromium: Any, reports: dict[str, Path], width: int, scheme: str) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    opened = context.new_page()
    for name in ("index.html", "samples.html"):
        opened.goto((reports["two"] / name).as_uri())
        assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    context.close()


def test_a_sample_is_seen_on_paper(page: Any, reports: dict[str, Path]) -> None:
    page.goto((reports["one"] / "samples.html").as_uri())
    page.wait_for_selector(".region")
    page.emulate_media(media="print")
    assert not page.is_visible(".side")
    shown = page.eval_on_selector(".detail", "it => [getComputedStyle(it).overflowY, it.scrollHeight - it.clientHeight]")
    assert shown[0] == "visible"
    assert page.eval_on_selector("body", "it => it.scrollHeight") >= page.eval_on_selector(".detail", "it => it.scrollHeight")


def test_thousands_of_boxes_do_not_stall_the_browser(page: Any, reports: dict[str, Path]) -> None:
    page.goto((reports["one"] / "samples.html").as_uri())
    page.wait_for_selector(".region")
    drawn = page.evaluate(
        """() => {
          const place = (i) => [i % 70 * 10, Math.floor(i / 70) * 10, i % 70 * 10 + 8, Math.floor(i / 70) * 10 + 8];
          const region = (i) => ({ xyxy: place(i), phrase: "a man", score: 0.5, short: "a man in a crowd", long: null,
            reason: null, about: {}, notes: [], attributes: [], texts: [] });
          const own = { status: "ok", steps: [], regions: Array.from({ length: 5000 }, (_, i) => region(i)), dropped: [], texts: [],
            long: null, short: null, flags: [], spans: [] };
          const sample = { key: "crowd", path: "crowd.jpg", width: 720, height: 720, picture: null,
            missing: "none", alt: null, runs: [own] };
          const options = { dropped: false, type: "" }, turn = document.createElement("div");
          const [view] = fgdata.detail.show(document.querySelector(".detail"), sample, [""], options, turn);
          view.getBoundingClientRect();
          const boxes = view.querySelectorAll("g[data-regions]");
          for (let i = 0; i < 200; i++) boxes[i * 20].dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
          return [boxes.length, view.querySelectorAll(".lit").length, view.querySelectorAll(".label").length];
        }"""
    )
    assert drawn == [5000, 2, 200]
