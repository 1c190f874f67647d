"""What a plan is decided from, in addition to files and settings: the target as it is before the load."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pgpipe.errors import PgpipeError
from pgpipe.load.kinds import Kind
from pgpipe.load.ledger import Ledger
from pgpipe.target import Target

Filler = Literal["", "search", "generated", "identity", "mark"]


@dataclass(frozen=True)
class TargetColumn:
    """A column that is there."""

    name: str
    kind: Kind
    filled: Filler = ""  # by the target itself, or by loads: when its row went
    required: bool = False  # NOT NULL
    defaulted: bool = False
    identity: bool = False  # always or by default
    untyped: bool = False  # no file had a value when it was made


@dataclass(frozen=True)
class Access:
    """What the role may do; sentences that say what is missing and what to do."""

    wrong_kind: str | None = None  # the target is not a table
    owned: bool = True  # the role may change the target's shape
    obstacles: Mapping[str, str | None] = field(default_factory=dict)  # by mode


@dataclass(frozen=True)
class Facts:
    """What catalogue and ledger say of a target."""

    schema: str
    table: Target | None = None  # None: there is none yet
    columns: tuple[TargetColumn, ...] = ()
    primary_key: tuple[str, ...] = ()
    ours: bool = False  # pgpipe made it, or has loaded it
    ledger: Ledger = field(default_factory=Ledger)
    access: Access = field(default_factory=Access)
    partitioned_by: str = ""  # the column, if it is one alone
    soft_delete: str | None = None  # the column in which it marks rows that are gone
    distributed_by: str | None = None  # the column by which its rows are spread over servers


@dataclass(frozen=True)
class Details:
    """What is read only once it is clear that files will be loaded: it takes a query each, or a scan of the target."""

    types: Mapping[str, Kind | None] = field(default_factory=dict)  # by column; None: the type does not exist
    not_unique: PgpipeError | None = None  # two rows of the target have one key, or it lacks a column of the key
    has_rows: bool = False  # asked for a snapshot without rows only
    dependents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by column: what forbids another type
    homeless: str = ""  # which value of the files no partition takes
    closed: str = ""  # why the target can get no column
    empty: frozenset[str] = frozenset()  # untyped columns that still have no value; asked if files have one
