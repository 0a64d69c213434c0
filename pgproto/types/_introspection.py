"""What to ask the server about types it has and we do not know, and what its answer means.

One query describes the types with the given OIDs and all types that they are made of, however deep. It needs
PostgreSQL 14 or later, and its result decodes with built-in codecs alone. Chapters "System Catalogs",
sections "pg_type", "pg_range" and "pg_attribute".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias, TypeVar

from pgproto._dataclasses import dataclass
from pgproto.errors import DataError
from pgproto.types._guards import is_list

__all__ = ["INTROSPECTION_SQL", "Kind", "TypeDescription", "description"]

_T = TypeVar("_T")

_FIELDS: Final = 9
_MISSHAPEN: Final = "the server's description of a type has not the shape that was asked for"

INTROSPECTION_SQL: Final = """
with recursive wanted(oid) as (
    select unnest($1::pg_catalog.oid[])
  union
    select part.oid
    from wanted
    join pg_catalog.pg_type as t on t.oid = wanted.oid
    cross join lateral (
        select t.typelem where t.typinput = 'pg_catalog.array_in'::pg_catalog.regproc
      union all
        select t.typbasetype where t.typtype = 'd'
      union all
        select r.rngsubtype from pg_catalog.pg_range as r where r.rngtypid = t.oid
      union all
        select r.rngtypid from pg_catalog.pg_range as r where r.rngmultitypid = t.oid
      union all
        select a.atttypid
        from pg_catalog.pg_attribute as a
        where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    ) as part(oid)
)
select
    t.oid,
    n.nspname::pg_catalog.text,
    t.typname::pg_catalog.text,
    case
        when t.typinput = 'pg_catalog.array_in'::pg_catalog.regproc then 'array'
        when t.typtype = 'c' then 'composite'
        when t.typtype = 'd' then 'domain'
        when t.typtype = 'e' then 'enum'
        when t.typtype = 'r' then 'range'
        when t.typtype = 'm' then 'multirange'
        else 'base'
    end,
    case
        when t.typinput = 'pg_catalog.array_in'::pg_catalog.regproc then t.typelem
        when t.typtype = 'd' then t.typbasetype
        when t.typtype = 'r' then (select r.rngsubtype from pg_catalog.pg_range as r where r.rngtypid = t.oid)
        when t.typtype = 'm' then (select r.rngtypid from pg_catalog.pg_range as r where r.rngmultitypid =
        t.oid) else 0::pg_catalog.oid
    end,
    coalesce((select e.typdelim::pg_catalog.text from pg_catalog.pg_type as e where e.oid = t.typelem), ','),
    (
        select x.extname::pg_catalog.text
        from pg_catalog.pg_depend as d
        join pg_catalog.pg_extension as x on x.oid = d.refobjid
        where d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass and d.objid = t.oid
          and d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.deptype = 'e'
        limit 1
    ),
    array(
        select a.attname::pg_catalog.text
        from pg_catalog.pg_attribute as a
        where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
        order by a.attnum
    ),
    array(
        select a.atttypid
        from pg_catalog.pg_attribute as a
        where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
        order by a.attnum
    )
from (select distinct oid from wanted) as w
join pg_catalog.pg_type as t on t.oid = w.oid
join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
"""
"""Takes one parameter, an array of OIDs; gives one row per type, with the fields of `TypeDescription`."""

Kind: TypeAlias = Literal["array", "composite", "domain", "enum", "range", "multirange", "base"]

_KINDS: Final[dict[str, Kind]] = {
    "array": "array",
    "composite": "composite",
    "domain": "domain",
    "enum": "enum",
    "range": "range",
    "multirange": "multirange",
    "base": "base",
}


@dataclass(frozen=True, slots=True)
class TypeDescription:
    """One row of the answer."""

    oid: int
    schema: str
    name: str
    kind: Kind
    part: int
    """The OID of an array's element, a domain's base type, a range's subtype or a multirange's range; else
    0."""
    delimiter: str
    """What separates the elements in the text form of an array."""
    extension: str | None
    """The extension that the type belongs to."""
    attribute_names: tuple[str, ...]
    attribute_types: tuple[int, ...]
    """The OIDs of a composite's attributes' types."""

    @property
    def qualified_name(self) -> str:
        """The name for messages: with its schema, unless that is pg_catalog."""
        return self.name if self.schema == "pg_catalog" else f"{self.schema}.{self.name}"

    @property
    def parts(self) -> tuple[int, ...]:
        """The OIDs of all types that this one is made of."""
        return (self.part,) if self.part else self.attribute_types


def description(row: Sequence[object]) -> TypeDescription:
    """Reads a row of the answer.

    Raises:
        DataError: it has not the shape that the query asks for.
    """
    fields = tuple(row)
    if len(fields) == _FIELDS:
        oid, schema, name, kind, part, delimiter, extension, names, types = fields
        if (
            isinstance(oid, int)
            and isinstance(schema, str)
            and isinstance(name, str)
            and isinstance(kind, str)
            and kind in _KINDS
            and isinstance(part, int)
            and isinstance(delimiter, str)
            and len(delimiter) == 1
            and delimiter.isascii()
            and (extension is None or isinstance(extension, str))
        ):
            attributes, attribute_types = _all(str, names), _all(int, types)
            if len(attributes) == len(attribute_types):
                return TypeDescription(
                    oid, schema, name, _KINDS[kind], part, delimiter, extension, attributes, attribute_types
                )
    raise DataError(_MISSHAPEN)


def _all(kind: type[_T], values: object) -> tuple[_T, ...]:
    if not is_list(values):
        raise DataError(_MISSHAPEN)
    checked = tuple([value for value in values if isinstance(value, kind)])
    if len(checked) != len(values):
        raise DataError(_MISSHAPEN)
    return checked
