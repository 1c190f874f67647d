"""Plain English: short sentences in documentation, help texts and messages, and no words of a private dialect."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 22  # words of a sentence
SHARE = 0.95  # of the sentences are no longer than that
DIALECT = r"is no |are no |whoever|anew"
WHERE = ("pgpipe", "sql", "docs", "README.md")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
CODE = re.compile(r"``[^`]+``|`[^`]+`")
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
BEGINS_BLOCK = re.compile(r"^\s*(?:#+ |[-*] |\d+\. |$)")  # a heading, an item, or an empty line
END = re.compile(r'(?<=[.!?])[)"*]*\s+(?=["(*]*(?:[A-Z\d]|code\b|pgpipe|docs/|systemd))')


def sentences(text: str) -> Iterator[str]:
    """The sentences of a Markdown text. A heading, a paragraph, an item and a cell of a table each end one."""
    for block in blocks(FENCE.sub("", COMMENT.sub("", text))):
        plain = LINK.sub(r"\1", CODE.sub("code", block))
        yield from (sentence.strip() for sentence in END.split(plain) if length(sentence) > 2)


def blocks(text: str) -> Iterator[str]:
    """The parts of a page that stand apart."""
    lines: list[str] = []
    for line in text.splitlines():
        if BEGINS_BLOCK.match(line) or line.startswith("|"):
            yield " ".join(lines)
            lines = []
        if line.startswith("|"):
            yield from re.split(r"(?<!\\)\||<br>", line)
        else:
            lines.append(line)
    yield " ".join(lines)


def length(sentence: str) -> int:
    """Its words. A code span is one word; figures and dashes are none."""
    return len(re.findall(r"[^\W\d_][\w'.-]*", sentence))


def messages() -> Iterator[str]:
    """What pgpipe raises. A semicolon ends a sentence there, because an error is one line."""
    for file in sorted((ROOT / "pgpipe").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                for argument in node.exc.args:
                    yield from (part for part in re.split(r"; ", literal(argument)) if length(part) > 2)


def literal(node: ast.expr) -> str:
    """The text of a string; a value within it is one word."""
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return "value"
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def report(found: list[str]) -> tuple[float, str]:
    """The share of sentences that are short, and the longest of the others."""
    long = sorted((s for s in found if length(s) > LONGEST), key=length, reverse=True)
    return 1 - len(long) / len(found), "\n".join(f"{length(s)} words: {s}" for s in long[:10])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_sentences_of_a_page_are_short(page: Path) -> None:
    """95 % of the sentences of each page have at most 22 words; help texts and comments of SQL are pages too."""
    share, worst = report(list(sentences(page.read_text(encoding="utf-8"))))

    assert share >= SHARE, f"{share:.1%}\n{worst}"


def test_messages_are_short() -> None:
    """95 % of the sentences of error messages have at most 22 words."""
    found = list(messages())
    share, worst = report(found)

    assert len(found) > 100
    assert share >= SHARE, f"{share:.1%}\n{worst}"


def test_no_private_dialect() -> None:
    """Texts say "is not valid JSON", and not that it is none; at most 15 lines are excepted."""
    command = ["git", "grep", "-nE", DIALECT, "--", *WHERE]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.splitlines()

    assert len(found) <= 15, "\n".join(found)


def test_words_of_the_glossary_are_the_ones_used() -> None:
    """Each word of the glossary is used by another page, and none of the words that it replaced by any."""
    glossary = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| ([a-z][a-z ,-]*) \|", glossary, re.MULTILINE)[1:]
    words = [word for cell in cells for word in cell.split(", ")]
    pages = [page.read_text(encoding="utf-8").lower() for page in PAGES if page.name != "glossary.md"]
    text = " ".join(" ".join(pages).split())
    prose = " ".join(CODE.sub("", FENCE.sub("", page)) for page in pages)

    assert len(words) > 25
    assert [word for word in words if not re.search(rf"\b{word}", text)] == []
    assert re.findall(r"\bset aside\b|\bbuilt aside\b|\bbegun again\b", prose) == []


def test_the_measure_can_fail() -> None:
    """A page of long sentences is measured as such: code counts once, and neither tables nor items run together."""
    long = "This sentence goes on " + "and on " * 12 + "until it ends."
    text = f"# Heading\n\n{long} A short one.\n\n- An `item of code` is here\n- {long}\n\n| cell one is | {long} |\n"

    assert [length(s) for s in sentences(text)] == [31, 3, 4, 31, 3, 31]
    assert report(list(sentences(text)))[0] == 0.5
