"""The review page in a browser, by keyboard."""

import re
import shutil
import time
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from lib.curation.client.client import Client
from lib.curation.verified_precision import read_checked, verified_precision
from lib.sound.decisions import read_decisions
from tests.server.review.builders import HOSTILE, N_FIELD, write_project
from tests.server.server_process import ServerProcess

BROWSER = shutil.which("chromium")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return write_project(tmp_path_factory.mktemp("reviewed") / "project")


@pytest.fixture(scope="module")
def server(project):
    with ServerProcess(project.params, *project.arguments(), waits=False, stage="review") as process:
        yield process


@pytest.fixture
def opened(browser, server):
    """A function that opens the page as a person; at the end, no page has asked anybody else or had an error."""
    faults, contexts = [], []

    def open_page(by: str, fragment: str = "", **options) -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        hosts = ("localhost", "127.0.0.1")
        page.on(
            "request", lambda one: urlsplit(one.url).hostname in hosts or "blob:" in one.url or faults.append(one.url)
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: message.type == "error" and faults.append(message.text))
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        page.goto(f"{server.url}/{fragment}")
        expect(page.locator("#person")).to_be_visible()
        page.keyboard.type(by)
        page.keyboard.press("Enter")
        expect(page.locator("#person")).to_be_hidden()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def is_local(url: str) -> bool:
    return url.startswith("blob:") or urlsplit(url).hostname in ("localhost", "127.0.0.1")


def decisions(project, by: str) -> list[tuple]:
    rows, _ = read_decisions(project.decisions, unsure=True)
    rows = rows[rows["by"] == by]
    columns = ["recording", "start_time", "class", "decision", "new_class"]
    return list(rows[columns].itertuples(index=False, name=None))


def clock(seconds: float) -> str:
    """A time as the page writes it."""
    minutes, rest = divmod(abs(seconds), 60)
    return f"{'-' if seconds < 0 else ''}{minutes:.0f}:{rest:04.1f}"


def wait_for(project, by: str, n: int) -> list[tuple]:
    end = time.monotonic() + 20
    while len(found := decisions(project, by)) != n and time.monotonic() < end:
        time.sleep(0.05)
    return found


def tab_to(page: Page, text: str) -> None:
    for _ in range(150):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == text:
            return
    raise AssertionError(f"{text} cannot be reached by keyboard")


def test_from_a_cell_of_the_confusion_matrix_to_a_written_decision_by_keyboard(opened, project):
    page = opened("cell")
    tab_to(page, "1 × mid found as high")
    page.keyboard.press("Enter")
    expect(page.locator(".cell")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator("#tile")).to_have_attribute("alt", "Spectrogram of high, 0:10.5 to 0:16.5 of t0")
    expect(page.locator("#facts")).to_contain_text("confused, annotated as mid")
    page.keyboard.press("l")
    page.keyboard.type("mi")
    expect(page.locator("#class-options [aria-selected=true]")).to_have_text("mid")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("Relabelled: high → mid")
    assert decisions(project, "cell") == [("t0", 12.0, "high", "relabel", "mid")]
    page.keyboard.press("z")
    expect(page.locator("#status")).to_contain_text("Taken back: high")
    assert decisions(project, "cell") == []


def test_a_class_is_verified_by_keyboard_from_the_overview_to_the_threshold(opened, project, capsys):
    """A key each for 96 clips of 97, each of which is in view before it is decided about."""
    project.decisions.unlink(missing_ok=True)
    page = opened("ana")
    tab_to(page, "Verify low")
    page.keyboard.press("Enter")
    expect(page.locator("#verify-progress")).to_have_text(f"0 of {N_FIELD} clips decided", timeout=30_000)
    expect(page.locator("#verify-result")).to_contain_text("No threshold yet: only 0 checked")
    expect(page.locator("#verify-links a").first).to_be_focused()
    page.keyboard.press("Enter")
    begin = 0.0
    for k in range(N_FIELD):
        expect(page.locator("#facts")).to_contain_text(f"Clip{k + 1} of {N_FIELD}")
        expect(page.locator("#tile")).to_have_attribute("alt", re.compile("^Spectrogram of low, "))
        begin = begin or time.monotonic()
        page.keyboard.press(key_of(k))
    expect(page.locator("#verify-progress")).to_have_text(f"{N_FIELD} of {N_FIELD} clips decided", timeout=30_000)
    result = page.locator("#verify-result")
    expect(result).to_contain_text("Precision 90 % from a score of")
    seconds = time.monotonic() - begin
    with capsys.disabled():
        print(f"\n{N_FIELD} clips verified in {seconds:.1f} s, from the first key to the threshold")
    settings, kinds = project.settings(), {"a": "accept", "r": "reject", "u": "unsure"}
    assert [row[3] for row in decisions(project, "ana")] == [kinds[key_of(k)] for k in range(N_FIELD)]
    checked = read_checked(str(project.labels), "low", settings, read_decisions(project.decisions)[0])
    found = verified_precision(checked, 0.9)
    assert found.fault == ""
    expect(result).to_contain_text(f"score of {found.threshold:.3f} on (95 %: {found.low:.3f} to {found.high:.3f})")
    rows = page.locator("#precision-table tbody tr").all_inner_texts()
    assert [row.split("\t")[1:4] for row in rows] == found.bands[["detections", "checked", "right"]].iloc[::-1].astype(
        str
    ).to_numpy().tolist()
    expect(page.locator("#precision-chart text.threshold")).to_have_text(f"threshold {found.threshold:.3f}")
    page.keyboard.press("z")
    expect(page.locator("#verify-progress")).to_have_text(f"{N_FIELD - 1} of {N_FIELD} clips decided", timeout=30_000)


def key_of(k: int) -> str:
    """What is decided about the k-th clip by score: the higher ones are right more often."""
    return "u" if k % 16 == 7 else "r" if k % 8 == 3 or (k > 48 and k % 3) else "a"


def test_a_verification_continues_where_it_was_left_and_its_list_stays(opened, project):
    project.decisions.unlink(missing_ok=True)
    page = opened("again", "#verify?class_name=low&sample=20&wanted=0.8")
    expect(page.locator("#verify-links a").first).to_be_focused(timeout=30_000)
    page.keyboard.press("Enter")
    for k in range(3):
        expect(page.locator("#facts")).to_contain_text(f"Clip{k + 1} of 20")
        page.keyboard.press("a")
    expect(page.locator("#facts")).to_contain_text("Clip4 of 20")
    wait_for(project, "again", 3)
    page.keyboard.press("v")
    expect(page.locator("#verify-progress")).to_have_text("3 of 20 clips decided", timeout=30_000)
    page.keyboard.press("Enter")
    expect(page.locator("#facts")).to_contain_text("Clip4 of 20")
    page.keyboard.press("v")
    expect(page.locator("#verify-links :focus")).to_have_count(1, timeout=30_000)  # the view is complete
    page.locator("#verify-form input[name=sample]").focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("30")
    page.keyboard.press("Enter")
    expect(page.locator("#verify-progress")).to_contain_text("of 30 clips decided", timeout=30_000)
    expect(page.locator("#verify-links a").first).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#total")).to_have_text("30 clips")
    page.keyboard.press("v")
    expect(page.locator("#verify-title")).to_have_text("Verify low")


def test_a_decision_that_is_not_written_keeps_the_verification_open(opened, project):
    page = opened("unwritten", "#clip?origin=found&class_name=low&sample=5&at=4")
    expect(page.locator("#facts")).to_contain_text("Clip5 of 5")
    page.route("**/decisions", lambda route: route.fulfill(status=200, body="cut off"))
    page.keyboard.press("a")
    expect(page.locator("#fault-lines")).to_contain_text("Accepted: low, clip 5: ")
    expect(page.locator("#facts")).to_contain_text("Clip5 of 5")
    page.unroute("**/decisions")


def test_the_sound_plays_on_arrival_and_the_keys_do_what_they_say(opened):
    page = opened("keys", "#clip?origin=found&recording=t0&order=time&at=0")
    page.wait_for_function("() => document.querySelector('#cursor').style.left > '5%'")
    page.keyboard.press("o")
    expect(page.locator("[data-key=o]")).to_have_attribute("aria-pressed", "true")
    for speed in ("0.5", "0.25", "0.1"):
        page.keyboard.press("s")
        expect(page.locator("#status")).to_have_text(f"Speed {speed}")
    place = page.locator("#clip-place")
    expect(place).to_have_text("0:01.5 – 0:07.5")
    for key, text in (
        ("+", "0:03.0 – 0:06.0"),
        ("]", "0:04.5 – 0:07.5"),
        ("-", "0:03.0 – 0:09.0"),
        ("0", "0:01.5 – 0:07.5"),
    ):
        page.keyboard.press(key)
        expect(place).to_have_text(text)
    page.keyboard.press("n")
    expect(page.locator("#clip-title")).to_have_text("high")
    page.keyboard.press("p")
    expect(page.locator("#clip-title")).to_have_text("low")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator("#grid")).to_be_focused()


def test_many_are_selected_in_the_grid_and_decided_at_once(opened, project):
    page = opened("many", "#clips?origin=found&recording=f0&order=time")
    expect(page.locator("#total")).to_have_text("96 clips")
    for key in ("ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowDown"):
        page.keyboard.press(key)
    n = 3 + page.evaluate("Math.floor((document.querySelector('#grid').clientWidth - 4) / 216)")
    expect(page.locator("#chosen")).to_have_text(f"{n} selected")
    page.keyboard.press("r")
    expect(page.locator("#status")).to_have_text(f"Rejected: {n} clips")
    assert [row[1] for row in wait_for(project, "many", n)] == [3.0 * k for k in range(1, n + 1)]
    page.keyboard.press("z")
    expect(page.locator("#status")).to_have_text(f"Taken back: {n} clips")
    assert decisions(project, "many") == []


def test_clips_become_an_issue_and_a_work_queue_that_is_worked_through_by_keyboard(opened, project):
    page = opened("queue", "#clips?origin=found&recording=t0&order=time")
    expect(page.locator("#total")).to_have_text("4 clips")
    for key in ("Shift+ArrowRight", "Shift+ArrowRight", "i"):
        page.keyboard.press(key)
    expect(page.locator("#add-about")).to_contain_text("3 clips.")
    page.keyboard.type(f"faint {HOSTILE}")
    expect(page.locator("#issue-options [aria-selected=true]")).to_contain_text(f"New: faint {HOSTILE}")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text(f"Made faint {HOSTILE}: 3 clips")

    page.keyboard.press("Enter")  # the current clip, the last of the three, and the one after it
    expect(page.locator("#facts")).to_contain_text("Clip3 of")
    for key in ("n", "i"):
        page.keyboard.press(key)
        expect(page.locator("#facts")).to_contain_text("Clip4 of")
    expect(page.locator("#add-issue")).to_be_visible()
    page.keyboard.type("fai")
    expect(page.locator("#issue-options [aria-selected=true]")).to_contain_text("Bucket, 3")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text(f"Added to faint {HOSTILE}: 1 of 1 clip")

    page.keyboard.press("3")
    expect(page.locator("#issue-table")).to_contain_text("faint")
    page.keyboard.press("Enter")
    expect(page.locator("#issue-title")).to_have_text(f"faint {HOSTILE}")
    expect(page.locator("#element-list li")).to_have_count(4)
    page.keyboard.press("c")
    page.keyboard.type(f"Is it rain? {HOSTILE}")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#comments")).to_contain_text(f"Is it rain? {HOSTILE}")
    page.locator("#issue-form").get_by_label("State").select_option("in progress")
    expect(page.locator("#status")).to_contain_text("in progress")
    page.locator("#issue-title").focus()
    page.keyboard.press("o")
    expect(page.locator("#total")).to_have_text("4 clips")
    expect(page.locator("#batch-issue")).to_have_text(f"faint {HOSTILE}")

    page.keyboard.press("q")
    page.keyboard.type("check")
    page.locator("#batch-size").fill("3")
    page.locator("#batch-size").press("Enter")
    expect(page.locator("#status")).to_have_text("Made check: 4 clips")
    page.keyboard.press("3")
    expect(page.locator("#issue-table")).to_contain_text("4 · 0 of 2 batches")
    page.keyboard.press("Enter")
    expect(page.locator("#issue-title")).to_have_text("check")
    page.keyboard.press("t")
    expect(page.locator("#batch-state")).to_contain_text("0 of 3 decided")
    for k in range(3):
        expect(page.locator("#facts")).to_contain_text(f"Clip{k + 1} of 3")
        page.keyboard.press("a")
    expect(page.locator("#batch-state")).to_contain_text("3 of 3 decided")
    assert [row[1] for row in wait_for(project, "queue", 3)] == [3.0, 12.0, 21.0]
    page.keyboard.press("f")
    expect(page.locator("#status")).to_have_text("Finished: batch 0001")
    expect(page.locator("#batch-table")).to_contain_text("donequeue")
    page.keyboard.press("t")
    expect(page.locator("#batch-state")).to_contain_text("0 of 1 decided")
    page.keyboard.press("f")
    expect(page.locator("#status")).to_contain_text("1 of 1 are undecided")
    page.keyboard.press("b")
    expect(page.locator("#status")).to_have_text("Given back: batch 0002")
    assert page.title() == "Earshot review"
    assert page.locator("img[src='x']").count() == 0

    with Client(api_endpoint=project.curation, data=project.settings().data) as client:
        faint, check = client.get_issue_manager("review").list_issues()
        assert [each.element_id for each in faint.elements] == ["t0@3-6", "t0@12-15", "t0@21-24", "t0@30-33"]
        assert (faint.reporter, faint.state, check.template_type) == ("queue", "inProgress", "Work Queue")
        (queue,) = client.get_work_queue_manager("review").list_work_queues()
        assert queue.batch_statuses == {"batch 0001": "done", "batch 0002": "queued"}


def test_only_the_clips_in_view_exist(opened):
    page = opened("scroll", "#clips?order=time&origin=")
    expect(page.locator(".cell").first).to_be_visible()
    assert page.locator(".cell").count() < 50
    page.keyboard.press("End")
    expect(page.locator("#grid")).to_have_attribute("aria-activedescendant", "cell-103")
    expect(page.locator("#cell-103 small")).to_contain_text("0:01.0")
    assert page.locator(".cell").count() < 50


def test_markup_in_names_is_text(opened):
    page = opened("inert", "#clips?origin=found&recording=t0&order=time")
    expect(page.locator("#cell-3")).to_contain_text(HOSTILE)
    page.keyboard.press("End")
    expect(page.locator("#grid")).to_have_attribute("aria-activedescendant", "cell-3")
    page.keyboard.press("Enter")
    expect(page.locator("#clip-title")).to_have_text(HOSTILE)
    page.keyboard.press("l")
    expect(page.locator("#class-options")).to_contain_text(HOSTILE)
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    expect(page.locator("#classes")).to_contain_text(HOSTILE)
    assert page.title() == "Earshot review"
    assert page.locator("img[src='x']").count() == 0


def test_two_people_at_once_lose_nothing(opened, project):
    pages = [opened(by, "#clip?origin=found&class_name=low&recording=f0&order=time&at=0") for by in ("one", "two")]
    for k in range(4):
        for page in pages:
            page.wait_for_function(f"() => document.querySelector('#facts').textContent.includes('Clip{k + 1} of')")
            page.keyboard.press("a")
    for by in ("one", "two"):
        assert [row[1] for row in wait_for(project, by, 4)] == [3.0 * k for k in range(4)]
    pages[0].keyboard.press("z")
    assert len(wait_for(project, "one", 3)) == 3
    assert len(decisions(project, "two")) == 4


def test_a_decision_that_is_not_written_is_told_until_somebody_has_read_it(opened, project):
    page = opened("fault", "#clip?origin=found&class_name=low&recording=f0&order=time&at=0")
    expect(page.locator("#facts")).to_contain_text("Clip1 of")
    page.route("**/decisions", lambda route: route.fulfill(status=200, body="cut off"))
    page.keyboard.press("a")
    expect(page.locator("#fault-lines")).to_contain_text("Accepted: low, clip 1: ")
    expect(page.locator("#facts")).to_contain_text("Clip1 of")
    page.unroute("**/decisions")
    page.keyboard.press("r")
    page.keyboard.press("Escape")
    expect(page.locator("#fault")).to_be_hidden()
    page.keyboard.press("r")
    assert [row[1:4] for row in wait_for(project, "fault", 1)] == [(0.0, "low", "reject")]


def test_a_key_held_down_decides_about_one_clip(opened, project):
    page = opened("held", "#clip?origin=found&class_name=low&recording=f0&order=time&at=0")
    expect(page.locator("#facts")).to_contain_text("Clip1 of")
    for _ in range(4):
        page.keyboard.down("a")
    page.keyboard.up("a")
    page.keyboard.press("u")
    assert [row[3] for row in wait_for(project, "held", 2)] == ["accept", "unsure"]


def test_nobody_decides_without_a_name(opened, project):
    page = opened("name")
    page.locator("#person-button").click()
    page.keyboard.press("Backspace")
    page.keyboard.press("Enter")
    expect(page.locator("#person")).to_be_visible()
    page.keyboard.type(" ")
    page.keyboard.press("Enter")
    expect(page.locator("#person")).to_be_visible()
    page.keyboard.type("eve")
    page.keyboard.press("Enter")
    expect(page.locator("#person-button")).to_have_text("eve")


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_the_page_is_light_or_dark_as_the_system_is(opened, scheme, is_dark):
    page = opened("dark", color_scheme=scheme)
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(int(part) for part in color.strip("rgb()").split(",")) < 80) == is_dark


def test_each_control_has_a_name(opened):
    page = opened("names", "#clip?origin=found&recording=t0&order=time&at=0")
    for view in ("clip", "verify", "clips", "overview", "issues"):
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('button, a, input:not([type=hidden]), select, textarea, '
              + '[role=listbox], [role=combobox]')]
            .filter((one) => !(one.textContent.trim() || one.ariaLabel || one.title || one.labels?.length
              || one.getAttribute('aria-labelledby'))).map((one) => one.outerHTML)"""
        )
        assert nameless == [], view
        keys = {"clip": "v", "verify": "2", "clips": "1", "overview": "3", "issues": "1"}
        page.keyboard.press(keys[view])
