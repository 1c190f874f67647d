"""The schema as the catalogue has it: what two databases must have in common, line by line."""

from pgpipe.db import Connection

# A null list of rights is that of a new object.
RIGHTS = """
    (select string_agg(format('%s=%s%s', case r.grantee when 0 then 'public' else r.grantee::regrole::text end,
                              r.privilege_type, case when r.is_grantable then '*' end), ' ' order by r::text)
       from aclexplode(coalesce({acl}, acldefault({kind}, {owner}))) r)
"""
PARTS = {
    "schemas": "select n.nspname, n.nspowner::regrole, {rights}, obj_description(n.oid) from pg_namespace n"
    " where n.nspname in ('pgpipe', 'pgpipe_internal', 'pgpipe_staging', 'pgpipe_target')",
    "functions": "select p.oid::regprocedure, p.proowner::regrole, {rights}, obj_description(p.oid, 'pg_proc'),"
    " pg_get_functiondef(p.oid) from pg_proc p where p.pronamespace::regnamespace::text ~ '^pgpipe(_internal)?$'",
    "relations": "select c.oid::regclass, c.relkind, c.relpersistence, c.relowner::regrole, {rights},"
    " obj_description(c.oid, 'pg_class'), c.relrowsecurity, c.reloptions,"
    " case when c.relkind = 'v' then pg_get_viewdef(c.oid) end"
    " from pg_class c where c.relnamespace = 'pgpipe'::regnamespace",
    "columns": "select a.attrelid::regclass, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,"
    " a.attidentity, a.attgenerated, a.attacl, pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum)"
    " from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0"
    " left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)"
    " where c.relnamespace = 'pgpipe'::regnamespace and c.relkind <> 'i'",
    "constraints": "select c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid),"
    " obj_description(c.oid, 'pg_constraint')"
    " from pg_constraint c where c.connamespace = 'pgpipe'::regnamespace",
    "indexes": "select pg_get_indexdef(i.indexrelid) from pg_index i join pg_class c on c.oid = i.indexrelid"
    " where c.relnamespace = 'pgpipe'::regnamespace",
    "triggers": "select pg_get_triggerdef(g.oid), g.tgenabled from pg_trigger g join pg_class c on c.oid = g.tgrelid"
    " where c.relnamespace = 'pgpipe'::regnamespace and not g.tgisinternal",
    "policies": "select p.* from pg_policies p where p.schemaname = 'pgpipe'",
}
KINDS = {
    "schemas": {"acl": "n.nspacl", "kind": "'n'", "owner": "n.nspowner"},
    "functions": {"acl": "p.proacl", "kind": "'f'", "owner": "p.proowner"},
    "relations": {
        "acl": "c.relacl",
        "kind": "(case c.relkind when 'S' then 's' else 'r' end)::\"char\"",
        "owner": "c.relowner",
    },
}


def snapshot(conn: Connection) -> list[str]:
    """All that is in the schema pgpipe and may be compared: one line an object, without its oid."""
    conn.execute("set search_path = pg_catalog")
    lines = []
    for part, query in PARTS.items():
        rights = RIGHTS.format(**KINDS[part]) if part in KINDS else ""
        lines += sorted(f"{part}: {row}" for row in conn.execute(query.format(rights=rights).encode()).fetchall())
    conn.execute("reset search_path")
    return lines
