"""Sealed triggers: guarantees that no session can switch off.

A stock pgtrigger trigger first asks the session variable `pgtrigger.ignore` whether to run, and any unprivileged
session may set that. A SealedTrigger has no such question. Its function belongs to the owner role and runs with that
role's rights (SECURITY DEFINER) under a fixed search_path with pg_temp last, no other role may attach it to a table
(EXECUTE is revoked), and it refuses to run on any table but its own.
"""

from typing import Any

import pgtrigger
from pgtrigger import compiler

REFUSED = "23514"  # check_violation
NOT_READY = "55000"  # object_not_in_prerequisite_state: Django's OperationalError, so 503 and nothing written


class SealedTriggerSql(compiler.UpsertTriggerSql):
    """The SQL that migrations carry. Never edit a released template: migrations refer to it (make a second class)."""

    def get_template(self) -> str:
        return """
            CREATE OR REPLACE FUNCTION {pgid}() RETURNS TRIGGER
            LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $sealed$
                {declare}
                BEGIN
                    IF TG_RELID <> 'public.{table_name}'::regclass THEN
                        RAISE EXCEPTION 'this function guards {table_name} only' USING ERRCODE = '23514';
                    END IF;
                    {func}
                END;
            $sealed$;
            REVOKE ALL ON FUNCTION {pgid}() FROM PUBLIC;

            DROP TRIGGER IF EXISTS {pgid} ON {table};
            CREATE {constraint} TRIGGER {pgid}
                {when} {operation} ON {table}
                {timing}
                {referencing}
                FOR EACH {level} {condition}
                EXECUTE FUNCTION {pgid}();
            COMMENT ON TRIGGER {pgid} ON {table} IS '{hash}';
        """.replace("{table_name}", self._table_name)

    def __init__(self, **kwargs: Any) -> None:
        self._table_name: str = kwargs["table"]
        super().__init__(**kwargs)


class SealedTrigger(pgtrigger.Trigger):
    """A trigger of the ledger, audit, hold or idempotency tables."""

    def compile(self, model: Any) -> compiler.Trigger:
        return compiler.Trigger(
            name=self.name,
            sql=SealedTriggerSql(
                pgid=self.get_pgid(model),
                declare=self.render_declare(model),
                func=self.render_func(model),
                table=model._meta.db_table,
                constraint="CONSTRAINT" if self.timing else "",
                when=self.when,
                operation=self.operation,
                timing=f"DEFERRABLE INITIALLY {self.timing}" if self.timing else "",
                referencing=self.referencing or "",
                level=self.level,
                condition=self.render_condition(model),
            ),
        )


def refuse(name: str, operation: Any, message: str) -> SealedTrigger:
    """A trigger that refuses the operation whole, before it starts and also when it would touch no row."""
    return SealedTrigger(
        name=name,
        when=pgtrigger.Before,
        operation=operation,
        level=pgtrigger.Statement,
        func=f"RAISE EXCEPTION '{message}' USING ERRCODE = '{REFUSED}', CONSTRAINT = '{name}';",
    )


def append_only(prefix: str, what: str) -> list[SealedTrigger]:
    """UPDATE, DELETE and TRUNCATE refused: for journals."""
    return [
        refuse(f"{prefix}_no_update", pgtrigger.Update, f"{what} never change"),
        refuse(f"{prefix}_no_delete", pgtrigger.Delete, f"{what} are never deleted"),
        refuse(f"{prefix}_no_truncate", pgtrigger.Truncate, f"{what} are never deleted"),
    ]
