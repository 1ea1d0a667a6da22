"""Ways round the triggers that an intruder with a database password would try; every guarantee still stands.

`guarantees_stand` breaks one rule of each kind and is run after each trick, as the app's role and as the owner's.
"""

import re
from collections.abc import Callable

import psycopg
import pytest
from django.conf import settings
from psycopg import sql

from devtools import servers
from tests.forge import Forge, Move, Scene, scene

REFUSED = "23514"
OURS = (
    "SELECT t.tgname, c.relname, p.proname, t.tgenabled, p.prosecdef, p.proconfig, p.proowner::regrole::text,"
    " p.proacl::text, t.tgdeferrable, t.tginitdeferred, c.relowner::regrole::text"
    " FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid"
    " WHERE NOT t.tgisinternal ORDER BY 1"
)


def guarantees_stand(stage: Scene) -> None:
    """One broken rule of every trigger that money hangs on."""
    forge = stage.forge
    forge.connection.execute("SAVEPOINT before")
    with forge.refused(REFUSED, "debits and credits differ"):
        forge.post([Move(stage.alices, "-1.00"), Move(stage.bobs, "99.00")], source_owner=stage.alice)
    with forge.refused(REFUSED, "below the floor"):
        forge.post(stage.transfer("100.01"), source_owner=stage.alice)
    with forge.refused(REFUSED, "is not created empty"):
        forge.wallet(balance=5)
    with forge.refused(REFUSED, "without entries"):
        forge.insert("transactions_transaction", [forge.transaction_row(source_owner=stage.alice)])
        forge.check_deferred()
    with forge.refused(REFUSED, constraint="hold_created_active"):
        forge.hold(stage.alices, "10.00", captured=1)
    transaction = forge.post(stage.transfer(), source_owner=stage.alice)
    for statement, message in (
        ("UPDATE transactions_transaction SET status = 'REVERSED' WHERE id = %s", "has no reversal"),
        ("UPDATE transactions_transaction SET description = 'x' WHERE id = %s", "erased whole"),
    ):
        with forge.refused(REFUSED, message):
            forge(statement, [transaction["id"]])
    for statement, message in (
        ("UPDATE wallet_wallet SET balance = balance + 1", "newest entry"),
        ("UPDATE wallet_wallet SET held = 1", "active holds"),
        ("DELETE FROM wallet_wallet", "never deleted"),
        ("UPDATE transactions_ledgerentry SET amount = 1", "never change"),
        ("DELETE FROM transactions_ledgerentry", "never deleted"),
        ("DELETE FROM transactions_transaction", "never deleted"),
        ("UPDATE transactions_transaction SET reference = 'x'", "never change"),
        ("DELETE FROM transactions_hold", "never deleted"),
        ("UPDATE fintech_core_auditlog SET action = 'x'", "never change"),
        ("DELETE FROM fintech_core_auditlog", "never deleted"),
        ("UPDATE fintech_core_outboxevent SET type = 'a.b'", "never change"),
        ("DELETE FROM fintech_core_outboxevent", "never deleted"),
    ):
        with forge.owner_only(REFUSED, message):
            forge(statement)
    forge.connection.execute("ROLLBACK TO SAVEPOINT before")


def test_the_guarantees_stand_without_any_trick(stage: Scene) -> None:
    guarantees_stand(stage)


@pytest.mark.parametrize(
    "spelling",
    [
        "{{{names}}}",
        "{names}",
        "{{*}}",
        "*",
        "{{{tables}}}",
        "{{{qualified}}}",
        "true",
        "on",
        "{{pgtrigger.ignore}}",
    ],
)
def test_pgtrigger_ignore_switches_nothing_off(stage: Scene, spelling: str) -> None:
    rows = stage.forge(OURS).fetchall()
    names = [name for row in rows for name in (row[0], row[0].removeprefix("pgtrigger_").rsplit("_", 1)[0])]
    qualified = [f"{row[1]}:{row[0].removeprefix('pgtrigger_').rsplit('_', 1)[0]}" for row in rows]
    tables = sorted({row[1] for row in rows})
    value = spelling.format(names=",".join(names), qualified=",".join(qualified), tables=",".join(tables))

    for scope in ("false", "true"):
        stage.forge(
            f"SELECT set_config('pgtrigger.ignore', %s, {scope}), set_config('_pgtrigger.ignore', %s, {scope})",
            [value, value],
        )
        guarantees_stand(stage)


SHADOWS = [
    "CREATE TEMP TABLE wallet_wallet (LIKE public.wallet_wallet)",
    "CREATE TEMP TABLE transactions_ledgerentry (LIKE public.transactions_ledgerentry)",
    "CREATE TEMP TABLE transactions_transaction (LIKE public.transactions_transaction)",
    "CREATE TEMP TABLE transactions_hold (LIKE public.transactions_hold)",
    "CREATE TEMP TABLE new_rows (LIKE public.transactions_ledgerentry)",
    "CREATE TEMP TABLE old_rows (LIKE public.wallet_wallet)",
    "CREATE TEMP TABLE wallets (LIKE public.wallet_wallet)",
    "CREATE TEMP TABLE rows (LIKE public.wallet_wallet)",
    "CREATE TEMP TABLE pg_class (LIKE pg_catalog.pg_class)",
    "CREATE FUNCTION pg_temp.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT ''x''::bytea'",
    "CREATE FUNCTION pg_temp.round(numeric, smallint) RETURNS numeric LANGUAGE sql AS 'SELECT $1'",
    "CREATE FUNCTION pg_temp.refuse_nothing(numeric, numeric) RETURNS boolean LANGUAGE sql AS 'SELECT false'",
    "CREATE OPERATOR pg_temp.<> (LEFTARG = numeric, RIGHTARG = numeric, FUNCTION = pg_temp.refuse_nothing)",
    "CREATE OPERATOR pg_temp.< (LEFTARG = numeric, RIGHTARG = numeric, FUNCTION = pg_temp.refuse_nothing)",
    "CREATE DOMAIN pg_temp.uuid AS text",
]


def test_objects_in_pg_temp_shadow_nothing(stage: Scene) -> None:
    for statement in SHADOWS:
        stage.forge(statement)

    # The intruder's own statements name the real tables: without a path, a temporary table would win.
    stage.forge("SET LOCAL search_path = public, pg_temp")
    guarantees_stand(stage)


@pytest.mark.parametrize("path", ["pg_temp, public", "pg_temp, public, pg_catalog", 'pg_temp, "$user", public'])
def test_the_functions_do_not_follow_the_callers_search_path(stage: Scene, path: str) -> None:
    for statement in SHADOWS[9:-1]:  # but the type, which would break the intruder's own statements
        stage.forge(statement)

    stage.forge(f"SET LOCAL search_path = {path}")
    guarantees_stand(stage)


@pytest.mark.parametrize(
    "setting",
    [
        "transform_null_equals = on",
        "standard_conforming_strings = on",
        "timezone_abbreviations = 'Australia'",
        "TimeZone = 'Pacific/Kiritimati'",
        "DateStyle = 'ISO, DMY'",
        "IntervalStyle = 'sql_standard'",
        "bytea_output = 'escape'",
        "extra_float_digits = 0",
        "quote_all_identifiers = on",
        "row_security = off",
        "check_function_bodies = off",
        "plan_cache_mode = force_generic_plan",
        "jit = off",
        "constraint_exclusion = on",
        "array_nulls = off",
        "event_triggers = off",
        "default_transaction_deferrable = on",
        "xmloption = 'document'",
        "work_mem = '64kB'",
        "lc_numeric = 'C'",
    ],
)
def test_no_setting_of_the_session_changes_what_is_checked(stage: Scene, setting: str) -> None:
    try:
        with stage.forge.connection.transaction():
            stage.forge(f"SET LOCAL {setting}")
    except psycopg.errors.InsufficientPrivilege:
        return

    with stage.forge.connection.transaction():
        stage.forge(f"SET LOCAL {setting}")
        guarantees_stand(stage)
        stage.forge.post(stage.transfer(), source_owner=stage.alice)


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_every_isolation_level_meets_the_same_checks(forge: Forge, level: str) -> None:
    forge.connection.rollback()
    forge(f"SET TRANSACTION ISOLATION LEVEL {level}")
    guarantees_stand(scene(forge))


FORBIDDEN = [
    "SET session_replication_role = replica",
    "SET LOCAL session_replication_role = local",
    "SELECT set_config('session_replication_role', 'replica', false)",
    "SET SESSION AUTHORIZATION postgres",
    "SET ROLE postgres",
    "DO 'BEGIN END'; SET plpgsql.variable_conflict = 'use_column'",  # a name of nobody's before plpgsql is loaded
    "SET debug_discard_caches = 1",
    "SET zero_damaged_pages = on",
    "SET ignore_checksum_failure = on",
    "SET allow_system_table_mods = on",
    "UPDATE pg_trigger SET tgenabled = 'D'",
    "DELETE FROM pg_trigger",
    "UPDATE pg_proc SET prosrc = 'BEGIN RETURN NULL; END'",
    "UPDATE pg_class SET relhastriggers = false",
    "UPDATE pg_constraint SET convalidated = false",
    "DO LANGUAGE plpython3u 'pass'",
    "COPY transactions_ledgerentry FROM PROGRAM 'id'",
    "COPY transactions_ledgerentry TO '/tmp/x'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT lo_import('/etc/passwd')",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_neither_role_reaches_round_the_catalogue(forge: Forge, statement: str) -> None:
    with pytest.raises(psycopg.Error) as caught, forge.connection.transaction():
        forge(statement)
    # 42501 no right · 42704 no such language · 22023/55P02 can't be changed now
    assert caught.value.sqlstate in {"42501", "42704", "55P02", "22023"}, str(caught.value)


APP_FORBIDDEN = [
    "SET ROLE fintech_owner",
    "SET SESSION AUTHORIZATION fintech_owner",
    "GRANT fintech_owner TO fintech_app",
    "ALTER ROLE fintech_app SUPERUSER",
    "ALTER TABLE wallet_wallet DISABLE TRIGGER ALL",
    "ALTER TABLE transactions_ledgerentry DISABLE TRIGGER USER",
    "ALTER TABLE transactions_ledgerentry DROP COLUMN hash",
    "ALTER TABLE wallet_wallet DROP CONSTRAINT wallet_above_floor",
    "ALTER TABLE wallet_wallet OWNER TO fintech_app",
    "ALTER TABLE wallet_wallet ADD COLUMN x int",
    "DROP TABLE transactions_ledgerentry CASCADE",
    "CREATE TABLE public.mine (id int)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION public.sha256(text) RETURNS bytea LANGUAGE sql AS 'SELECT ''x''::bytea'",
    "CREATE OPERATOR public.<> (LEFTARG = numeric, RIGHTARG = text, FUNCTION = numeric_ne)",
    "CREATE TYPE public.mine AS (id int)",
    "CREATE VIEW public.mine AS SELECT 1",
    "CREATE INDEX ON wallet_wallet (balance)",
    "CREATE RULE r AS ON INSERT TO transactions_ledgerentry DO INSTEAD NOTHING",
    "CREATE POLICY p ON wallet_wallet USING (true)",
    "CREATE EXTENSION file_fdw",
    "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()",
    "CREATE TRIGGER t BEFORE INSERT ON transactions_ledgerentry FOR EACH ROW"
    " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE TEMP TABLE child () INHERITS (public.wallet_wallet)",
    "COMMENT ON TABLE wallet_wallet IS 'x'",
    "LOCK TABLE wallet_wallet IN ACCESS EXCLUSIVE MODE",
    "LOCK TABLE transactions_ledgerentry IN ACCESS EXCLUSIVE MODE",
    "REFRESH MATERIALIZED VIEW x",
    "VACUUM wallet_wallet",
    "ALTER DATABASE postgres SET search_path = mine",
    "ALTER DEFAULT PRIVILEGES FOR ROLE fintech_owner GRANT ALL ON TABLES TO fintech_app",
    "SECURITY LABEL ON TABLE wallet_wallet IS 'x'",
    "SELECT setval(pg_get_serial_sequence('fintech_core_auditlog', 'id'), 1)",
]


@pytest.mark.parametrize("statement", APP_FORBIDDEN)
def test_the_app_has_no_ddl_and_no_way_to_more_rights(app: Forge, statement: str) -> None:
    # 42501 no right · 42P01/42704/0A000 nothing to work on · 25001 not inside a transaction, and no right outside
    with pytest.raises(psycopg.Error) as caught, app.connection.transaction():
        app(statement)
    assert caught.value.sqlstate in {"42501", "42P01", "42704", "22023", "25001", "0A000"}, str(caught.value)


def test_the_app_changes_no_trigger_and_no_function_of_ours(app: Forge) -> None:
    rows = app(OURS).fetchall()
    assert len(rows) >= 20

    for name, table, function, *_ in rows:
        for statement in (
            f"DROP TRIGGER {name} ON {table} CASCADE",
            f"ALTER TRIGGER {name} ON {table} RENAME TO gone",
            f"ALTER TABLE {table} DISABLE TRIGGER {name}",
            f"ALTER TABLE {table} ENABLE REPLICA TRIGGER {name}",
            f"DROP FUNCTION {function}() CASCADE",
            f"ALTER FUNCTION {function}() SET search_path = pg_temp",
            f"ALTER FUNCTION {function}() SECURITY INVOKER",
            f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            f"SELECT {function}()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), app.connection.transaction():
                app(statement)


def test_our_functions_work_on_no_other_table(app: Forge, owner: Forge) -> None:
    """A stock trigger would move a wallet's figures for the rows of a temporary table (tried)."""
    for _, table, function, *_ in app(OURS).fetchall():
        for intruder, state, message in ((app, "42501", "permission denied"), (owner, REFUSED, "only")):
            steps = [
                f"CREATE TEMP TABLE decoy (LIKE public.{table})",
                f"CREATE TRIGGER t BEFORE DELETE ON decoy FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
                "DELETE FROM decoy",
            ]
            with pytest.raises(psycopg.Error, match=message) as caught, intruder.connection.transaction():
                intruder("; ".join(steps))
            assert caught.value.sqlstate == state


def test_a_grant_that_the_app_tries_changes_nothing(app: Forge) -> None:
    """PostgreSQL only warns of it."""
    rights = "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
    before = app(rights).fetchall()

    app("GRANT ALL ON ALL TABLES IN SCHEMA public TO fintech_app")
    app("REVOKE SELECT ON wallet_wallet FROM fintech_app")

    assert app(rights).fetchall() == before


def test_a_trigger_of_the_intruder_on_a_temporary_table_gains_nothing(stage: Scene) -> None:
    """pg_trigger_depth() is above zero in it, which is what a naive guard asks."""
    forge = stage.forge
    forge("CREATE TEMP TABLE bait (id int)")
    forge(
        "CREATE FUNCTION pg_temp.steal() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN UPDATE public.wallet_wallet SET balance = balance + 1000, sequence = sequence + 1; RETURN NULL; END'"
    )
    forge("CREATE TRIGGER t AFTER INSERT ON bait FOR EACH ROW EXECUTE FUNCTION pg_temp.steal()")

    with forge.owner_only(REFUSED, "newest entry"):
        forge("INSERT INTO bait VALUES (1)")


# --- What the catalogue says ------------------------------------------------------------------------------------------

TRIGGERS = {
    "fintech_core_auditlog": {
        "audit_own_transaction",
        "audit_ledger_base",
        "audit_no_update",
        "audit_no_delete",
        "audit_no_truncate",
    },
    "fintech_core_auditchain": {
        "audit_chain_follows",
        "audit_chain_no_update",
        "audit_chain_no_delete",
        "audit_chain_no_truncate",
    },
    "fintech_core_outboxevent": {
        "outbox_own_transaction",
        "outbox_ledger_base",
        "outbox_no_update",
        "outbox_no_delete",
        "outbox_no_truncate",
    },
    "wallet_wallet": {
        "wallet_created_empty",
        "wallet_figures",
        "wallet_of_open_organization",
        "wallet_no_delete",
        "wallet_no_truncate",
    },
    "organizations_organization": {
        "organization_kyb_moves",
        "organization_has_admin",
        "organization_closed_is_empty",
        "organization_no_delete",
        "organization_no_truncate",
    },
    "organizations_organizationmember": {
        "member_facts",
        "member_leaves_an_admin",
        "member_of_open_organization",
        "member_no_truncate",
    },
    "organizations_invitation": {
        "invitation_moves",
        "invitation_of_open_organization",
        "invitation_no_delete",
        "invitation_no_truncate",
    },
    "organizations_payoutaccount": {
        "payout_account_moves",
        "payout_account_of_open_organization",
        "payout_account_no_delete",
        "payout_account_no_truncate",
    },
    "transactions_transaction": {
        "transaction_facts",
        "transaction_complete",
        "transaction_no_delete",
        "transaction_no_truncate",
    },
    "transactions_ledgerentry": {"entry_books", "entry_no_update", "entry_no_delete", "entry_no_truncate"},
    "transactions_hold": {"hold_insert", "hold_update", "hold_facts", "hold_no_delete", "hold_no_truncate"},
    "transactions_seal": {"seal_follows", "seal_no_update", "seal_no_delete", "seal_no_truncate"},
    "transactions_sealedhead": {
        "sealed_head_is_entry",
        "sealed_head_no_update",
        "sealed_head_no_delete",
        "sealed_head_no_truncate",
    },
    "transactions_transferschedule": {
        "schedule_created",
        "schedule_moves",
        "schedule_no_delete",
        "schedule_no_truncate",
    },
    "transactions_scheduledrun": {"run_moves", "run_no_delete", "run_no_truncate"},
    "reconciliation_match": {
        "recon_match_balances",
        "recon_match_map",
        "recon_match_no_delete",
        "recon_match_no_truncate",
    },
}
# Checked at COMMIT, since what they are about comes in several statements.
DEFERRED = (
    "organization_has_admin",
    "organization_closed_is_empty",
    "member_leaves_an_admin",
    "transaction_complete",
    "recon_match_balances",
    "recon_mline_balances",
    "recon_mentry_balances",
)


def test_every_trigger_is_enabled_sealed_and_the_owners(owner: Forge) -> None:
    found: dict[str, set[str]] = {}
    for name, table, function, enabled, definer, config, proowner, acl, deferrable, deferred, relowner in owner(OURS):
        found.setdefault(table, set()).add(name.removeprefix("pgtrigger_").rsplit("_", 1)[0])
        assert enabled == "O", name
        assert definer is True, function
        assert config == ["search_path=pg_catalog, public, pg_temp"], function
        assert (proowner, relowner) == ("fintech_owner", "fintech_owner"), function
        assert acl == "{fintech_owner=X/fintech_owner}", function
        assert (deferrable, deferred) == ((any(allowed in name for allowed in DEFERRED),) * 2), name

    assert {table: found.get(table) for table in TRIGGERS} == TRIGGERS


def test_no_function_but_trigger_functions_runs_with_the_owners_rights(owner: Forge) -> None:
    rows = owner(
        "SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname = 'public' AND p.prorettype <> 'trigger'::regtype AND p.prosecdef"
    ).fetchall()

    assert rows == []


def test_the_roles_have_no_attribute_that_frees_them_from_triggers(owner: Forge) -> None:
    rows = owner(
        "SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles"
        " WHERE rolname IN ('fintech_app', 'fintech_owner') ORDER BY 1"
    ).fetchall()
    settable = owner("SELECT count(*) FROM pg_parameter_acl").fetchone()
    members = owner("SELECT count(*) FROM pg_auth_members WHERE member = 'fintech_app'::regrole").fetchone()

    nothing = (False,) * 5
    assert rows == [("fintech_app", *nothing), ("fintech_owner", *nothing)]
    assert (settable, members) == ((0,), (0,))


# --- Grants: the reviewed table ---------------------------------------------------------------------------------------

Grants = dict[str, str]
S, SI, SID, SIUD = "SELECT", "INSERT, SELECT", "DELETE, INSERT, SELECT", "DELETE, INSERT, SELECT, UPDATE"
TABLE_GRANTS: Grants = {
    # The books: read and add. What may change of them stands below, by column.
    "wallet_wallet": SI,
    "wallet_blocker": SID,
    "organizations_organization": SI,
    "organizations_organizationmember": SID,
    "organizations_invitation": SI,
    "organizations_payoutaccount": SI,
    "transactions_transaction": SI,
    "transactions_ledgerentry": SI,
    "transactions_hold": SI,
    "transactions_feeschedule": SI,
    "transactions_exchangerate": SI,
    "transactions_exchangequote": SI,
    "transactions_seal": SI,
    "transactions_sealedhead": SI,
    "transactions_transferschedule": SI,
    "transactions_scheduledrun": SI,
    "transactions_monitor": SID,
    "transactions_outflowowner": SID,
    "transactions_unconfirmedoutflow": SID,
    "fintech_core_auditlog": SI,
    "fintech_core_auditchain": SI,
    "fintech_core_outboxevent": SI,
    # The kernel's own.
    "fintech_core_outboxcursor": SI,
    "fintech_core_idempotencyrecord": SID,
    "fintech_core_attemptbudget": SID,
    "fintech_core_workerheartbeat": "INSERT, SELECT, UPDATE",
    # Identity, KYC, payments.
    "users_user": "INSERT, SELECT, UPDATE",
    "users_registration": SID,
    "users_familiarnetwork": SID,
    "users_session": SID,
    "users_refreshtoken": SID,
    "users_apikey": SI,
    "messaging_message": SID,
    "users_passwordreset": SID,
    "users_onetimecode": SID,
    "users_totpdevice": SID,
    "users_recoverycode": SID,
    "users_stepupchallenge": SID,
    "compliance_kycsubmission": SI,
    "reconciliation_reconciledaccount": SI,
    "reconciliation_statement": SI,
    "reconciliation_statementline": SI,
    "reconciliation_match": SI,
    "reconciliation_matchedline": SI,
    "reconciliation_matchedentry": SI,
    "reconciliation_proposal": SI,
    "reconciliation_externalaccount": SI,
    "reconciliation_break": SI,
    "payments_paymentintent": SI,
    "payments_incomingpayment": SI,
    "payments_webhookevent": SI,
    "payments_simulatorpayment": SI,
    "payments_simulatordelivery": SI,
    # Django's own tables.
    "auth_group": SI,
    "auth_group_permissions": SID,
    "auth_permission": S,
    "django_admin_log": SI,
    "django_content_type": S,
    "django_migrations": S,
    "django_session": SIUD,
}
COLUMN_UPDATES: dict[str, set[str]] = {
    "wallet_wallet": {"status", "floor", "maximum_balance"},
    "wallet_blocker": {"expires_at"},
    "organizations_organization": {
        "legal_name",
        "country",
        "tax_number",
        "tax_number_index_a",
        "tax_number_index_b",
        "kyb_status",
        "closed_at",
        "submitted_by_id",
        "contested_at",
        "admin_removed_at",
    },
    "organizations_organizationmember": {"role"},
    "organizations_invitation": {
        "email",
        "email_index_a",
        "email_index_b",
        "accepted_at",
        "accepted_by_id",
        "revoked_at",
    },
    "organizations_payoutaccount": {"details", "label", "archived_at", "archived_by_id"},
    "transactions_monitor": {"state", "fired_at"},
    "transactions_outflowowner": {"asked_at"},
    "transactions_unconfirmedoutflow": {"amount"},
    "transactions_transaction": {"status", "posted_at", "description", "metadata", "salt"},
    # The description only to nothing: a trigger holds that, as it does of a schedule's.
    "transactions_hold": {"status", "captured", "released", "expires_at", "description"},
    "transactions_feeschedule": {"ended_at"},
    "transactions_exchangequote": {"transaction_id"},
    "transactions_transferschedule": {
        "status",
        "next_occurrence",
        "next_run_at",
        "runs_done",
        "refusals_in_a_row",
        "description",
    },
    "transactions_scheduledrun": {
        "status",
        "attempts",
        "transaction_id",
        "error_code",
        "detail",
        "next_attempt_at",
    },
    "fintech_core_idempotencyrecord": {"status", "content_type", "body"},
    "fintech_core_attemptbudget": {"attempts", "expires_at"},
    "fintech_core_outboxcursor": {"txid", "last_id", "moved_at"},
    "users_familiarnetwork": {"last_seen_at"},
    "users_registration": {"token_hash"},
    "users_session": {"last_used_at", "ended_at", "end_reason", "authenticated_at", "ip", "user_agent"},
    "users_totpdevice": {"confirmed", "confirmed_at", "last_step", "secret"},
    "users_recoverycode": {"used_at"},
    "users_stepupchallenge": {"passed_at", "spent_at"},
    "users_refreshtoken": {"used_at"},
    "users_apikey": {"last_used_at", "revoked_at", "name"},
    "users_passwordreset": {"token_hash", "created_at", "expires_at", "used_at"},
    "messaging_message": {
        "recipient",
        "context",
        "state",
        "attempts",
        "refusal",
        "provider_code",
        "provider_id",
        "due_at",
        "settled_at",
    },
    "users_onetimecode": {"binding", "code_digest", "created_at", "expires_at", "used_at"},
    "compliance_kycsubmission": {
        "status",
        "decided_by_id",
        "decided_at",
        "reject_reason",
        "granted_level",
        "updated_at",
        # Only to nothing, and only of an erased person: a trigger holds that.
        "first_name",
        "last_name",
        "date_of_birth",
        "address",
        "document_number",
        "document_index_a",
        "document_index_b",
    },
    "reconciliation_reconciledaccount": {"last_run_at"},
    "reconciliation_statementline": {"status"},
    "reconciliation_match": {"taken_back_at", "taken_back_by", "reason"},
    "reconciliation_matchedline": {"live"},
    "reconciliation_matchedentry": {"live"},
    "reconciliation_proposal": {"status", "match_id", "decided_by", "decided_at", "reason"},
    "reconciliation_externalaccount": {"retired_at", "retired_by"},
    "reconciliation_break": {
        "candidates",
        "status",
        "owner_id",
        "action",
        "resolution",
        "resolved_by",
        "resolved_at",
        "adjustment_id",
    },
    "payments_paymentintent": {
        "status",
        "provider_payment_id",
        "transaction_id",
        "suspense_transaction_id",
        "review_reason",
        "failure_reason",
        "updated_at",
        "expires_at",
        "return_url",  # only to nothing: a trigger holds that
    },
    "payments_incomingpayment": {"resolution", "resolution_transaction_id", "resolved_at"},
    "payments_webhookevent": {"status", "attempts", "next_attempt_at", "error", "processed_at"},
    "payments_simulatordelivery": {"attempts", "next_attempt_at", "delivered_at", "last_status"},
}


def test_the_app_has_exactly_these_rights_on_tables(owner: Forge) -> None:
    rows = owner(
        "SELECT c.relname, string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type) FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a"
        " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
        " AND a.grantee = ANY(%s::regrole[]) OR n.nspname = 'public' AND a.grantee = 0 GROUP BY 1",
        [["fintech_app"]],
    ).fetchall()

    assert dict(rows) == TABLE_GRANTS


def test_the_app_may_update_exactly_these_columns(owner: Forge) -> None:
    rows = owner(
        "SELECT c.relname, at.attname, a.privilege_type FROM pg_attribute at JOIN pg_class c ON c.oid = at.attrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(at.attacl) a"
        " WHERE n.nspname = 'public' AND a.grantee <> 'fintech_owner'::regrole"
    ).fetchall()
    found: dict[str, set[str]] = {}
    for table, column, right in rows:
        assert right == "UPDATE"
        found.setdefault(table, set()).add(column)

    assert found == COLUMN_UPDATES


def test_the_architecture_lists_the_same_rights() -> None:
    """Every table of these rooms is in ARCHITECTURE.md, with the rights that the tests above find in the database."""
    text = (settings.BASE_DIR / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = text.split("## Two database roles")[1].split("\n## ")[0]
    documented = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE))
    rooms = ("wallet_", "transactions_", "fintech_core_", "reconciliation_", "payments_")

    def spelled(table: str) -> str:
        columns = ", ".join(sorted(COLUMN_UPDATES.get(table, ())))
        rights = TABLE_GRANTS[table].split(", ")
        update = f"UPDATE ({columns})" if columns else "UPDATE" if "UPDATE" in rights else ""
        return ", ".join(right for right in ("INSERT", update, "DELETE" if "DELETE" in rights else "") if right)

    assert documented == {table: spelled(table) for table in TABLE_GRANTS if table.startswith(rooms)}


def test_no_grant_can_be_passed_on_and_nothing_is_public(owner: Forge) -> None:
    assert (
        owner(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a"
            " WHERE n.nspname = 'public' AND (a.grantee = 0 OR a.is_grantable AND a.grantee <> a.grantor)"
        ).fetchall()
        == []
    )
    assert owner("SELECT count(*) FROM pg_default_acl").fetchone() == (0,)
    for role, may_create in (("fintech_app", False), ("fintech_owner", True)):
        row = owner(
            "SELECT has_schema_privilege(%s, 'public', 'CREATE'),"
            " has_database_privilege(%s, current_database(), 'CREATE')",
            [role, role],
        ).fetchone()
        assert row == (may_create, may_create)


# --- At a real COMMIT -------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("role", ["fintech_app", "fintech_owner"])
def test_a_commit_refuses_what_a_deferred_check_finds(cluster: servers.Servers, database_name: str, role: str) -> None:
    attacks: list[Callable[[Scene], object]] = [
        lambda stage: stage.forge.insert(
            "transactions_transaction", [stage.forge.transaction_row(source_owner=stage.alice)]
        ),
        lambda stage: stage.forge.post(
            [Move(stage.alices, "-1.00"), Move(stage.bobs, "1.00")],
            source_owner=stage.alice,
            kind="REVERSAL",
            reverses_id=stage.forge.fund(stage.alices, "1.00")["id"],
        ),
    ]
    for attack in attacks:
        with servers.connect(cluster, role=role, database=database_name) as connection:
            connection.autocommit = False
            attack(scene(Forge(connection, role)))
            with pytest.raises(psycopg.errors.CheckViolation):
                connection.commit()
            assert connection.execute("SELECT count(*) FROM transactions_transaction").fetchone() == (0,)
            assert connection.execute(sql.SQL("SELECT sum(sequence) FROM wallet_wallet")).fetchone() == (0,)
