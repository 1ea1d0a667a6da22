"""What the app role may do with a table, as a migration operation. Without one, the app can't use the table at all."""

from django.db.migrations.operations import RunSQL

APP = "fintech_app"


class GrantToApp(RunSQL):
    """SELECT always; INSERT, DELETE and UPDATE (whole or by column) as asked. No DDL, no TRUNCATE, ever."""

    def __init__(
        self, table: str, *, insert: bool = False, update: bool | tuple[str, ...] = False, delete: bool = False
    ) -> None:
        self.arguments = {"table": table, "insert": insert, "update": update, "delete": delete}
        rights = ["SELECT", *(["INSERT"] if insert else []), *(["DELETE"] if delete else [])]
        if update is True:
            rights.append("UPDATE")
        elif update:
            columns = ", ".join(f'"{column}"' for column in update)
            rights.append(f"UPDATE ({columns})")
        super().__init__(
            sql=f'GRANT {", ".join(rights)} ON "{table}" TO {APP}',
            reverse_sql=f'REVOKE ALL ON "{table}" FROM {APP}',
        )

    def deconstruct(self):  # type: ignore[no-untyped-def]
        return type(self).__qualname__, [], {key: value for key, value in self.arguments.items() if value}
