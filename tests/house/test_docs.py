"""The code in README.md and docs/*.md runs as it is printed.

The convention, page by page, in the order of the page, in a folder of its own:

* a ``python`` block whose first line is ``# name.py`` is written to that file;
* every other ``python`` block is run; the blocks of a page share their variables, as at a prompt;
* of a ``sh`` block the lines that begin with ``duly`` are run: a ``duly ... worker ...`` line starts a worker that
  stays until the end of the page, any other has to end with status 0. Other lines (``make``, ``git``) are not run;
* a block after the line ``<!-- not run: REASON -->`` is left alone, for the reason given;
* a page with the line ``<!-- run by tests/AREA/test_NAME.py -->`` is left to that test.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(
    r"^(?P<skip><!-- not run: .+ -->\n\n?)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
FILE = re.compile(r"# (?P<name>[\w./-]+\.py)\n")
RUN_BY = re.compile(r"^<!-- run by (?P<test>tests/\S+\.py) -->$", re.MULTILINE)
READY = 20  # seconds until a worker has to be ready
STEP = 60  # seconds for one block

# Runs in a process of its own: takes blocks from standard input, answers each with ok or a traceback.
PROMPT = """
import json, linecache, os, sys, traceback
answers, sys.stdout = sys.stdout, open(os.devnull, "w")  # what the blocks print and log is not looked at
names = {"__name__": "__main__"}
for request in sys.stdin:
    name, code = json.loads(request)
    linecache.cache[name] = (len(code), None, code.splitlines(True), name)
    try:
        exec(compile(code, name, "exec"), names)
        answer = ""
    except BaseException:
        answer = traceback.format_exc()
    print(json.dumps(answer), file=answers, flush=True)
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    code: str


def blocks(page: Path) -> list[Block]:
    """The blocks of a page that are meant to be run."""
    text = page.read_text()
    return [
        Block(page.name, text.count("\n", 0, match.start("code")), match["language"], match["code"])
        for match in BLOCK.finditer(text)
        if match["language"] in ("python", "sh") and not match["skip"]
    ]


ALL = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
ELSEWHERE = {page: found["test"] for page in ALL if (found := RUN_BY.search(page.read_text()))}
PAGES = [page for page in ALL if blocks(page) and page not in ELSEWHERE]


class Reader:
    """Somebody who follows a page in a folder: writes its files, starts its workers, types its lines.

    1. ``follow`` each block.
    2. ``close``: whatever was started is ended, in any case.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        outside = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
        self.env = {**outside, "PATH": f"{Path(sys.executable).parent}:{outside['PATH']}", "PYTHONPATH": str(folder)}
        self.workers: list[subprocess.Popen[bytes]] = []
        self.prompt: subprocess.Popen[str] | None = None

    def follow(self, block: Block) -> None:
        file = FILE.match(block.code)
        if block.language == "sh":
            for line in block.code.splitlines():
                if line.startswith("duly "):
                    self.command(line, block)
        elif file:
            path = self.folder / file["name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code)
        else:
            self.run(block)

    def command(self, line: str, block: Block) -> None:
        words = shlex.split(line, comments=True)
        if "worker" in words:
            self.start_worker(words)
            return
        done = subprocess.run(
            words, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=STEP, check=False
        )
        if done.returncode:
            pytest.fail(f"{block.page}:{block.line}: {line} ended with {done.returncode}\n{done.stdout}{done.stderr}")

    def start_worker(self, words: list[str]) -> None:
        path = self.folder / f"worker{len(self.workers)}.log"
        with open(path, "wb") as log:
            worker = subprocess.Popen(words, cwd=self.folder, env=self.env, stdout=log, stderr=log)
        self.workers.append(worker)
        deadline = time.monotonic() + READY
        while b"Ready" not in path.read_bytes():
            if worker.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{shlex.join(words)} did not become ready:\n{path.read_text()}")
            time.sleep(0.02)

    def run(self, block: Block) -> None:
        if self.prompt is None:
            self.prompt = subprocess.Popen(
                [sys.executable, "-c", PROMPT],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        assert self.prompt.stdin is not None
        assert self.prompt.stdout is not None
        # blank lines in front make the line numbers of a traceback those of the page
        request = [block.page, "\n" * block.line + block.code]
        self.prompt.stdin.write(json.dumps(request) + "\n")
        self.prompt.stdin.flush()
        answer = json.loads(self.prompt.stdout.readline() or '"the process ended"')
        if answer:
            pytest.fail(f"{block.page}:{block.line}:\n{answer}")

    def close(self) -> None:
        for process in (*self.workers, *([self.prompt] if self.prompt else ())):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in (*self.workers, *([self.prompt] if self.prompt else ())):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self.prompt:
            for stream in (self.prompt.stdin, self.prompt.stdout):
                if stream:
                    stream.close()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    yield reader
    reader.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_of_the_page_runs(page: Path, reader: Reader) -> None:
    for block in blocks(page):
        reader.follow(block)


def test_readme_has_the_first_minute() -> None:
    """The test above would pass for a README without code."""
    languages = {(block.language, bool(FILE.match(block.code))) for block in blocks(ROOT / "README.md")}
    assert {("python", True), ("python", False), ("sh", False)} <= languages


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```python\nassert 1 == 2\n```\n", "AssertionError"),
        ("```sh\nduly --nonsense\n```\n", "ended with 2"),
    ],
)
def test_a_page_that_is_wrong_is_noticed(text: str, complaint: str, tmp_path: Path, reader: Reader) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(pytest.fail.Exception, match=complaint):
        reader.follow(blocks(page)[0])


def test_a_block_that_says_why_it_is_not_run_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- not run: needs a net -->\n```python\n1/0\n```\n\n```python\n1\n```\n")
    assert [block.code for block in blocks(page)] == ["1\n"]


@pytest.mark.parametrize("page", list(ELSEWHERE), ids=lambda page: page.name)
def test_a_page_left_to_another_test_is_in_it(page: Path) -> None:
    assert page.name in (ROOT / ELSEWHERE[page]).read_text()


LINK = re.compile(r"\]\((?!https?://|#)(?P<target>[^)#]+)")


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    dead = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert not dead


ANCHOR = re.compile(r"\]\((?!https?://)(?P<target>[^)#]*)#(?P<anchor>[^)]+)\)")


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ALL, ids=lambda p: p.name)
def test_links_to_headings_lead_to_one(page: Path) -> None:
    dead = [
        f"{target}#{anchor}"
        for target, anchor in ANCHOR.findall(page.read_text())
        if anchor not in anchors(page.parent / target if target else page)
    ]
    assert not dead


def test_readme_leads_to_every_page() -> None:
    text = (ROOT / "README.md").read_text()
    assert [page.name for page in ALL[1:] if f"docs/{page.name}" not in text] == []
