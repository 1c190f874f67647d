"""The documentation tells the truth: links resolve, commands and options exist, and none goes without a word."""

import re
import runpy
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pgpipe.cli.app import cli
from pgpipe.settings.model import Settings

ROOT = Path(__file__).parents[2]
GENERATE = runpy.run_path(str(ROOT / "docs/generate.py"))
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMANDS = dict(GENERATE["_commands"](cli, "pgpipe"))


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_resolve(page: Path) -> None:
    """Every link to a file or a heading of the repository leads there."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_every_page_of_docs_is_linked_from_readme() -> None:
    """A page that README does not name would not be found."""
    linked = set(re.findall(r"\]\((docs/[\w.-]+\.md)", (ROOT / "README.md").read_text(encoding="utf-8")))

    assert {name(p) for p in PAGES if p.parent.name == "docs"} <= linked


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_option_has_help(path: str) -> None:
    """`--help` says what each does; docs/cli.md is made of that."""
    command = COMMANDS[path]
    bare = [p.name for p in command.params if isinstance(p, click.Option) and not p.hidden and not p.help]

    assert command.help
    assert bare == []


def test_cli_reference_is_up_to_date() -> None:
    """docs/cli.md is what the commands say today; else run `make docs`."""
    assert (ROOT / "docs/cli.md").read_text(encoding="utf-8") == GENERATE["command_line"](), "run `make docs`"


def typed(page: Path) -> Iterator[str]:
    """The pgpipe commands of a page: lines of its code blocks, and inline code."""
    text = page.read_text(encoding="utf-8")
    for language, block in FENCE.findall(text):
        if language in {"", "bash", "console", "sh", "shell", "ini", "systemd"}:
            joined = block.replace("\\\n", " ")
            yield from re.findall(
                r"^(?:\$ |ExecStart=)?(?:\w+=\S+ |sudo (?:-u \w+ )?)*(?:\S*/)?(pgpipe .+)$", joined, re.MULTILINE
            )
    yield from (code for code in re.findall(r"`([^`\n]+)`", prose(page)) if re.match(r"pgpipe [-a-z]", code))


def check(line: str) -> None:
    """A command line as the documentation shows it: the command is there, and each option is one of its own."""
    tokens = shlex.split(re.split(r" [|>&]|&&|;", line.replace("…", "X"))[0], comments=True)[1:]
    command: click.Command = cli
    known = {o: p for p in cli.params for o in (*p.opts, *p.secondary_opts)} | {"--help": None, "-h": None}
    while tokens:
        token = tokens.pop(0)
        if token.startswith("-") and len(token) > 1 and not token[1].isdigit():
            option, _, value = token.partition("=")
            assert option in known, f"{line}: {command.name} has no {option}"
            wanted = known[option]
            takes_value = isinstance(wanted, click.Option) and not wanted.is_flag and not wanted.count
            if takes_value and not value and tokens:
                tokens.pop(0)
        elif isinstance(command, click.Group) and re.fullmatch(r"[a-z][a-z-]*", token):
            assert token in command.commands, f"{line}: there is no command {token!r}"
            command = command.commands[token]
            known |= {o: p for p in command.params for o in (*p.opts, *p.secondary_opts)}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_parse(page: Path) -> None:
    """Every `pgpipe …` of the documentation names a command and options that exist."""
    for line in typed(page):
        check(line)


@pytest.mark.parametrize("line", ["pgpipe laod", "pgpipe load --sauce x", "pgpipe jobs retry --all-of-them"])
def test_the_check_of_commands_can_fail(line: str) -> None:
    """A check that lets everything pass would hold nothing."""
    with pytest.raises(AssertionError):
        check(line)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_make_targets_exist(page: Path) -> None:
    """Every `make …` of the documentation is in the Makefile."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = re.findall(r"(?:^\$ |`)make ([a-z][a-z-]*)", page.read_text(encoding="utf-8"), re.MULTILINE)

    assert set(named) <= targets


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_environment_variables_are_settings(page: Path) -> None:
    """Every PGPIPE_A__B of the documentation is a setting."""
    for variable in re.findall(r"PGPIPE_([A-Z_]+__[A-Z_]+)", page.read_text(encoding="utf-8")):
        section, field = variable.lower().split("__", 1)
        model = Settings.model_fields[section].annotation
        names = {f.alias or n for n, f in model.model_fields.items()} if isinstance(model, type) else set()
        assert field in names or section == "entity", variable


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_sql_functions_exist(page: Path) -> None:
    """Every `pgpipe.name(` in SQL or prose is a function that docs/sql.md has, or one of Python's."""
    documented = set(re.findall(r"^### (\w+)$", (ROOT / "docs/sql.md").read_text(encoding="utf-8"), re.MULTILINE))
    text = re.sub(r"^```python\n.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    sql = set(re.findall(r"\bpgpipe\.(\w+)\(", text))

    assert sql <= documented | {"search", "Pipeline", "Searcher"}, sql - documented


def test_comparison_has_a_source_for_each_fact_and_a_test_for_each_promise() -> None:
    """A row about another tool links where it stands; a sentence about pgpipe links the test that holds it."""
    text = (ROOT / "docs/comparison.md").read_text(encoding="utf-8")
    rows = [row for row in re.findall(r"^\| .+$", text, re.MULTILINE) if not row.startswith("| tool")]
    ours = re.findall(r"What pgpipe (?:adds|does)[^\n]*\n\n(.*?)\n\n", text, re.DOTALL)
    promises = [promise for part in ours for promise in re.split(r"^- ", part, flags=re.MULTILINE)[1:]]

    assert [row for row in rows if "](" not in row] == []
    assert len(promises) >= 12
    assert [promise for promise in promises if "](../tests/" not in promise] == []


@pytest.mark.parametrize("page", ["nights.md", "neighbours.md"])
def test_each_row_names_a_test_that_exists(page: str) -> None:
    """A row without a test is a promise that nobody keeps: the last cell of each names tests, and they are there."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    rows = [row for row in re.findall(r"^\| .+ \|$", text, re.MULTILINE) if not row.endswith("| test |")]

    assert len(rows) >= 15
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row.split(" | ")[-1])
        assert named, row
        for file, test in named:
            assert (ROOT / file).exists(), row
            assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file} has no {test}"


def test_table_of_files_is_up_to_date() -> None:
    """Every file of sql/ and every module is in it, with what its first line says; else run `make docs`."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")

    assert "<!-- files: " in page
    assert page == GENERATE["with_files"](page), "run `make docs`"


def test_readme_is_short() -> None:
    """A newcomer reads it to the end."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_readme_names_every_extra() -> None:
    """What can be installed in addition stands where one installs; the others are for developers."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    listed = re.search(r"Extras: (.*?)\n\n", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)

    assert listed is not None
    assert set(re.findall(r"`([a-z-]+)`", listed[1])) == extras.keys() - {"demo", "dev", "bench", "web"}
