"""Neighbours of pgpipe in a database: triggers of every kind, and the tables of ORMs. docs/neighbours.md lists them."""

import enum
import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from pgpipe.db import Connection, Database
from tests.sql.fake_model import Fake, make_worker
from tests.sql.support import column, drain, embed, make_docs, sqlstate, stored, value

STALE = """
    select count(*) from doc full join doc_embedding stored using (id)
     where stored.content_hash is distinct from pgpipe_internal.content_hash(
               nullif(concat_ws(chr(10), nullif(title, ''), nullif(body, '')), ''))
"""
CHANGE = """
    create function change() returns trigger language plpgsql as
    $$begin new.title := upper(new.title); new.body := new.body || '!'; return new; end$$
"""
FOLLOW = """
    create function follow() returns trigger language plpgsql as
    $$begin
      if pg_trigger_depth() = 1 then update doc set body = body || '+' where body !~ '[+]$'; end if;
      return null;
    end$$
"""
TRIGGERS = {
    "before a row, last of all": CHANGE + "; create trigger {last} before insert or update on doc"
    " for each row execute function change()",
    "after a row": FOLLOW + "; create trigger {last} after insert or update on doc"
    " for each row execute function follow()",
    "after a statement": FOLLOW + "; create trigger {last} after insert or update on doc execute function follow()",
    "at the commit": FOLLOW + "; create constraint trigger {last} after insert or update on doc"
    " deferrable initially deferred for each row execute function follow()",
    "that skips rows": "create function skip() returns trigger language plpgsql as"
    " $$begin return case when new.id <> 2 then new end; end$$;"
    " create trigger {last} before insert or update on doc for each row execute function skip()",
    "that keeps rows from a delete": "create function spare() returns trigger language plpgsql as"
    " $$begin return case when old.id <> 3 then old end; end$$;"
    " create trigger {last} before delete on doc for each row execute function spare()",
    "instead of a row": "create view seen as select * from doc;"
    " create function divert() returns trigger language plpgsql as"
    " $$begin insert into doc values (new.*); return new; end$$;"
    " create trigger {last} instead of insert on seen for each row execute function divert();"
    " insert into seen values (70, 'by a view', 'of its own')",
    "a rule": "create rule also as on insert to doc do also update doc set title = title || '*' where id = 1",
}


@pytest.mark.parametrize("kind", TRIGGERS)
def test_triggers_of_every_kind(conn: Connection, kind: str) -> None:
    """Whatever a table's own triggers make of a statement, each row has the vector of what it became."""
    make_docs(conn, 5)
    embedding = embed(conn)
    drain(conn, embedding)
    conn.execute(TRIGGERS[kind].replace("{last}", '"~~~ last"').encode())

    conn.execute("insert into doc values (20, 'new', 'text', 0), (21, null, 'x', 0)")
    conn.execute("update doc set body = 'other ' || id where id <= 3")
    conn.execute("update doc set id = id + 30 where id = 4")
    conn.execute("delete from doc where id in (3, 5)")
    drain(conn, embedding)

    assert value(conn, STALE) == 0
    assert stored(conn) == column(conn, "select id from doc order by id")
    assert value(conn, "select coverage from pgpipe.embedding_status") == 1


@pytest.mark.parametrize(("name", "refused"), [("~ last", "PP003"), ("zzz", "")])
def test_a_trigger_that_would_run_after_the_one_of_a_search_column(conn: Connection, name: str, refused: str) -> None:
    """It could change the text once more: such a name is refused; of a name before, the column holds what it made."""
    make_docs(conn, 2)
    conn.execute(f'{CHANGE}; create trigger "{name}" before insert or update on doc for each row'
                 " execute function change()".encode())  # fmt: skip

    assert (
        sqlstate(conn, "select pgpipe.enable_search('doc', '{title=>A, body=>B}', 'simple', online => true)") == refused
    )
    if not refused:
        conn.execute("call pgpipe.fill_search('doc')")
        conn.execute("update doc set body = 'lamp' where id = 1")
        assert value(conn, "select bool_and(search = setweight(to_tsvector('simple', title), 'A')"
                           " || setweight(to_tsvector('simple', body), 'B')) from doc")  # fmt: skip


class Base(DeclarativeBase):
    """Tables as SQLAlchemy makes them."""


class Kind(enum.Enum):
    """An enum, which SQLAlchemy makes a type of the database."""

    TENT = "tent"
    LAMP = "lamp"


class Article(Base):
    """Names in mixed case, and the types that applications use."""

    __tablename__ = "ShopArticle"
    id: Mapped[uuid.UUID] = mapped_column("Id", primary_key=True, default=uuid.uuid4)
    title: Mapped[str] = mapped_column("Title", sa.String(80))
    text: Mapped[str | None] = mapped_column("order", sa.Text)  # a word of SQL
    kind: Mapped[Kind]
    price: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2), server_default="0")
    tags: Mapped[list[str]] = mapped_column(postgresql.ARRAY(sa.String))
    extra: Mapped[dict[str, int]] = mapped_column(postgresql.JSONB)
    made: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), default=lambda: datetime.now(UTC))
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own form


def test_tables_of_sqlalchemy(any_database: Database, conn: Connection) -> None:
    """Rows that sessions write, change and delete, with their versions counted, are searched and embedded."""
    engine = sa.create_engine("postgresql+psycopg://", creator=any_database.connect)
    Base.metadata.create_all(engine)
    conn.execute("""select pgpipe.enable_search('"ShopArticle"', '{Title=>A, order=>B}')""")
    conn.execute("""select pgpipe.enable_embedding('"ShopArticle"', '{Title,order}', 'fake', 3)""")
    with Session(engine) as session:
        rows = [Article(title=f"tent {n}", text=None, kind=Kind.TENT, tags=["a"], extra={"n": n}) for n in range(4)]
        session.add_all(rows)
        session.commit()
        rows[0].title, rows[1].text = "lamp", "bright"
        session.delete(rows[2])
        session.commit()
        wanted = {str(rows[n].id) for n in (0, 1, 3)}
    make_worker(any_database, Fake()).drain()

    assert set(column(conn, 'select "Id"::text from "ShopArticle_embedding"')) == wanted
    found = column(conn, """select title from pgpipe.text_search('"ShopArticle"', 'lamp OR bright')""")
    assert sorted(found) == ["lamp", "tent 1"]
    assert value(conn, "select coverage from pgpipe.embedding_status") == 1
    Base.metadata.drop_all(engine)
    engine.dispose()


DJANGO = """
    create table "shop_article" ("id" bigint not null primary key generated by default as identity,
        "title" varchar(80) not null, "body" text not null, "slug" varchar(50) not null unique,
        "price" numeric(10, 2) not null, "data" jsonb not null, "made" timestamp with time zone not null,
        "stock" integer not null check ("stock" >= 0));
    create index "shop_article_slug_like" on "shop_article" ("slug" varchar_pattern_ops);
    create table "shop_article_tags" ("id" bigint not null primary key generated by default as identity,
        "article_id" bigint not null references "shop_article" ("id") deferrable initially deferred)
"""
PUT = """
    insert into "shop_article" ("title", "body", "slug", "price", "data", "made", "stock")
    values (%s, 'x', %s, 1, '{}', now(), 1) returning "shop_article"."id"
"""


def test_tables_of_django(any_database: Database, conn: Connection) -> None:
    """As Django writes them: identity keys, deferred foreign keys, savepoints, bulk updates by CASE, one commit."""
    conn.execute(DJANGO)
    conn.execute("select pgpipe.enable_search('shop_article', '{title=>A, body=>B}')")
    conn.execute("select pgpipe.enable_embedding('shop_article', '{title,body}', 'fake', 3)")
    with conn.transaction():
        ids = [value(conn, PUT, f"tent {n}", f"tent-{n}") for n in range(3)]
        with conn.transaction(force_rollback=True):
            value(conn, PUT, "never", "never")
        conn.execute('insert into "shop_article_tags" ("article_id") values (%s)', (ids[0],))
        conn.execute(
            'update "shop_article" set "title" = case when "id" = %s then %s when "id" = %s then %s else null end'
            ' where "id" in (%s, %s)',
            (ids[0], "lamp", ids[1], "stove", ids[0], ids[1]),
        )
        conn.execute('delete from "shop_article" where "id" in (%s)', (ids[2],))
    make_worker(any_database, Fake()).drain()

    assert stored(conn, "shop_article_embedding") == ids[:2]
    assert column(conn, "select key ->> 'id' from pgpipe.text_search('shop_article', 'stove')") == [str(ids[1])]
    assert value(conn, "select coverage from pgpipe.embedding_status") == 1
