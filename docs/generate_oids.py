"""Write `pgproto/types/_oids.py`, the table of PostgreSQL's built-in types, from a live server.

    python docs/generate_oids.py "host=/tmp dbname=postgres user=postgres" > pgproto/types/_oids.py

Take the newest PostgreSQL: OIDs below 10,000 are assigned by hand and never change, so the table holds for
older servers too. Types with higher OIDs, and the row types of catalogs, differ between versions.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import psycopg

FIRST_UNSTABLE_OID = 10_000

TYPES = """
    select oid::int8, typname::text
    from pg_type
    where oid < %s and typtype in ('b', 'p') and not (typelem <> 0 and typinput = 'array_in'::regproc)
    order by oid
"""
ARRAYS = """
    select a.oid::int8, a.typname::text, a.typelem::int8, e.typdelim::text
    from pg_type a join pg_type e on e.oid = a.typelem
    where a.oid < %s and a.typinput = 'array_in'::regproc and e.typrelid = 0
    order by a.oid
"""
RANGES = """
    select r.rngtypid::int8, t.typname::text, r.rngsubtype::int8
    from pg_range r join pg_type t on t.oid = r.rngtypid
    where t.oid < %s order by t.oid
"""
MULTIRANGES = """
    select r.rngmultitypid::int8, t.typname::text, r.rngtypid::int8
    from pg_range r join pg_type t on t.oid = r.rngmultitypid
    where t.oid < %s order by t.oid
"""

HEADER = '''"""PostgreSQL's built-in types: OIDs and what they are made of.

Generated from PostgreSQL {version} by docs/generate_oids.py; do not edit.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ARRAYS", "MULTIRANGES", "RANGES", "TYPES"]
'''


def table(name: str, columns: str, meaning: str, rows: list[tuple[object, ...]]) -> Iterator[str]:
    yield ""
    yield f"{name}: Final[tuple[tuple[{columns}], ...]] = ("
    for row in rows:
        cells = ", ".join(str(cell) if isinstance(cell, int) else f'"{cell}"' for cell in row)
        yield f"    ({cells}),"
    yield ")"
    yield f'"""{meaning}"""'


def main(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:

        def rows(sql: str) -> list[tuple[object, ...]]:
            return connection.execute(sql.encode(), (FIRST_UNSTABLE_OID,)).fetchall()

        lines = [HEADER.format(version=connection.info.server_version // 10000)]
        lines += table(
            "TYPES", "int, str", "OID and name of all that is not an array, a range or a row.", rows(TYPES)
        )
        lines += table(
            "ARRAYS",
            "int, str, int, str",
            "OID, name, OID of the element, delimiter of the text form.",
            rows(ARRAYS),
        )
        lines += table("RANGES", "int, str, int", "OID, name, OID of the subtype.", rows(RANGES))
        lines += table("MULTIRANGES", "int, str, int", "OID, name, OID of the range.", rows(MULTIRANGES))
    print("\n".join(lines))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
