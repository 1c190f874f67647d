"""What a name means: which table of which schema."""

import pytest

from pgpipe.errors import UsageError
from pgpipe.target import Target, label, matching, only

HOME = "public"
NAMES = ["product", "a.b", 'say "x"', '"x"', "it's", "Ünïcode 表", "shop.product", "."]
TABLES = [Target(n, schema, name) for n, (schema, name) in enumerate((s, x) for s in (HOME, "shop") for x in NAMES)]


@pytest.mark.parametrize("target", TABLES, ids=lambda target: target.qualified)
def test_the_label_means_the_table(target: Target) -> None:
    """What is shown of a table is what commands take for it, whatever dots and quotes its name has."""
    assert matching(target.label(HOME), TABLES, HOME) == [target]
    assert matching(target.qualified, TABLES, HOME) == [target]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("product", "public.product"),
        ('"product"', "public.product"),
        ("shop.product", "shop.product"),
        ('"shop"."product"', "shop.product"),
        ("stock", "shop.stock"),  # in one other schema alone
        ("a.b", 'public."a.b"'),
        ("shop.a.b", 'shop."a.b"'),
        ('shop."a.b"', 'shop."a.b"'),
    ],
)
def test_a_name_means_one_table(name: str, expected: str) -> None:
    """A name alone is of the settings' schema; only if none is there, of the one other schema that has it."""
    pairs = [(HOME, "product"), ("shop", "product"), ("shop", "stock"), (HOME, "a.b"), ("shop", "a.b")]
    tables = [Target(n, schema, table) for n, (schema, table) in enumerate(pairs)]

    assert only(name, tables, HOME, "unknown").qualified == expected


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("nothing", "unknown; known are shop.stock, hr.stock"),
        ("public.stock", "unknown; known are"),  # its schema is stated: no other one is meant
        ("stock", "the name 'stock' is ambiguous: write shop.stock or hr.stock"),
    ],
)
def test_no_table_is_taken_in_silence(name: str, line: str) -> None:
    """None or several: one line says which there are, or how each of them is written."""
    pairs = [("shop", "stock"), ("hr", "stock")]
    tables = [Target(n, schema, table) for n, (schema, table) in enumerate(pairs)]

    with pytest.raises(UsageError) as caught:
        only(name, tables, HOME, "unknown; known are {}")

    assert str(caught.value).startswith(line)


def test_the_schema_of_the_settings_counts() -> None:
    """With `database.schema = "shop"` the other table is the one that needs its schema."""
    product, other = Target(1, HOME, "product"), Target(2, "shop", "product")

    assert matching("product", [product, other], "shop") == [other]
    assert (label(HOME, "product", "shop"), label("shop", "product", "shop")) == ("public.product", "product")
