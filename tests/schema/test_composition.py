"""SQL text that is put together when it runs: little, and in known places."""

import re
from pathlib import Path

SQL = Path(__file__).parents[2] / "sql"
MADE = re.compile(r"^create (?:or replace )?(?:function|procedure) pgpipe(?:_internal)?\.(\w+)", re.MULTILINE)
BODY = re.compile(r"\bas (\$\w*\$)(.*?)\1", re.DOTALL)
QUOTED = re.compile(r"--[^\n]*|'(?:[^']|'')*'")
DOLLARS = re.compile(r"\$(\w+)\$.*?\$\1\$", re.DOTALL)
CALLED = re.compile(r"\bpgpipe(?:_internal)?\.(\w+)\(")
ENTRIES = {
    "text_search",
    "vector_search",
    "hybrid_search",
    "similar",
    "search_all",
    "facets",
    "total",
    "suggest",
    "hybrid_facets",
    "fill_batch",
}  # beside triggers and rendered functions
DECLARES = {"check_declaration", "forget_jobs", "forget_target"}  # triggers of the declaration's own table
COMPOSING = {  # how many statements each composes
    "arrange_hits": 1,  # the columns that the caller orders by
    "look_up": 1,  # the key of a row
    "own_vector": 1,
    "show_hits": 1,  # passage and row: the columns that the caller may read
    "list_rest": 1,
    "written": 1,  # the same expression as in the search column
    "rank_matching": 1,  # the words and the filter of a question
    "look_near": 1,
    "count_facets": 1,  # the columns of a question
    "total": 1,
    "suggest_titles": 1,  # the title
    "unheld_words": 1,  # the search column
    "estimate": 1,  # EXPLAIN takes no parameters
    "search_languages": 1,
    "fill_blocks": 1,  # a batch of an online search column
    "is_filled": 1,
    "distribution_column": 1,  # a catalogue of Citus, which other databases lack
}


def functions() -> dict[str, tuple[str, str]]:
    """What stands between `create` and the body, and the body, of each function of sql/."""
    found = {}
    for file in [*SQL.glob("internal/*.sql"), *SQL.glob("api/*.sql")]:
        text = file.read_text(encoding="utf-8")
        for made in MADE.finditer(text):
            body = BODY.search(text, made.end())
            assert body, made[1]
            found[made[1]] = text[made.end() : body.start()], QUOTED.sub("''", body[2])
    return found


def test_little_is_composed() -> None:
    """What runs per statement, batch or search composes at most 20 statements, and these are the places."""
    known = functions()
    todo = ENTRIES | {name for name, (head, _) in known.items() if "returns trigger" in head} - DECLARES
    for file in SQL.glob("templates/*.sql"):
        if not file.name.startswith("merge_"):  # a load has its own
            todo |= set(CALLED.findall(file.read_text(encoding="utf-8")))
    runs: set[str] = set()
    while todo:
        runs.add(name := todo.pop())
        todo |= (set(CALLED.findall(known[name][1])) & set(known)) - runs
    composing = {name: len(re.findall(r"\bexecute\b", DOLLARS.sub("", known[name][1]))) for name in runs}

    assert {name: count for name, count in composing.items() if count} == COMPOSING
    assert sum(COMPOSING.values()) <= 20
