"""`setup_database_roles`: the two roles (ARCHITECTURE.md, Two database roles), before the first migrate. Idempotent."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import ProgrammingError, connection
from psycopg import sql

from fintech_core.db.work import as_login


class Command(BaseCommand):
    help = "Create fintech_owner (migrates) and fintech_app (serves) where they are missing, and their rights."
    requires_migrations_checks = False
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        owner, app = settings.DATABASE_OWNER_ROLE, settings.DATABASE_APP_ROLE
        with as_login(), connection.cursor() as cursor:
            try:
                for role in (owner, app):
                    self._ensure_role(cursor, role)
                self._grant_database(cursor, owner, app)
            except ProgrammingError as error:
                raise CommandError(
                    f"{error}The login of DATABASE_OWNER_URL may not create roles. Run this once with a superuser's "
                    "URL in DATABASE_OWNER_URL, or create the roles as docs/deployment.md shows."
                ) from error
        self.stdout.write(f"Roles {owner} and {app} are in place.")

    def _ensure_role(self, cursor: Any, role: str) -> None:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
        if cursor.fetchone() is None:
            cursor.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
        # Since PostgreSQL 16 who creates a role is its member, but may not act as it yet.
        cursor.execute(
            "SELECT pg_has_role(current_user, %s, CASE WHEN current_setting('server_version_num')::int >= 160000"
            " THEN 'SET' ELSE 'MEMBER' END)",
            [role],
        )
        if not cursor.fetchone()[0]:
            cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role)))

    def _grant_database(self, cursor: Any, owner: str, app: str) -> None:
        cursor.execute("SELECT current_database(), has_schema_privilege(%s, 'public', 'CREATE')", [owner])
        database, owner_may_create = cursor.fetchone()
        names = {"owner": sql.Identifier(owner), "app": sql.Identifier(app), "database": sql.Identifier(database)}
        if not owner_may_create:
            cursor.execute(sql.SQL("GRANT CREATE, USAGE ON SCHEMA public TO {owner}").format(**names))
        cursor.execute("SELECT has_schema_privilege(%s, 'public', 'USAGE')", [app])
        if not cursor.fetchone()[0]:
            cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {app}").format(**names))
        cursor.execute("SELECT has_schema_privilege(%s, 'public', 'CREATE')", [app])
        if cursor.fetchone()[0]:
            cursor.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
