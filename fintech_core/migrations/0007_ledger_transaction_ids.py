"""Transaction ids that are the ledger's and not the cluster's (transaction_ids.py, ADR 17).

Ids that another cluster gave out, in a database that was restored before there was a base, raise it at once.
"""

import fintech_core.db.triggers
import fintech_core.db.fields
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations

# xid8 has no arithmetic, hence bigint by way of text. STABLE and one expression: the planner puts them into the
# statement, base and all, and makes cached plans anew when a function is replaced (it wouldn't for IMMUTABLE).
CREATE = """
    CREATE FUNCTION public.ledger_base() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT 0::bigint';
    CREATE FUNCTION public.ledger_txid() RETURNS xid8 LANGUAGE sql STABLE PARALLEL UNSAFE AS
        'SELECT (public.ledger_base() + pg_catalog.pg_current_xact_id()::text::bigint)::text::xid8';
    CREATE FUNCTION public.ledger_horizon() RETURNS xid8 LANGUAGE sql STABLE PARALLEL SAFE AS
        'SELECT (public.ledger_base()
            + pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text::bigint)::text::xid8';
    CREATE FUNCTION public.ledger_ceiling() RETURNS xid8 LANGUAGE sql STABLE PARALLEL SAFE AS
        'SELECT (public.ledger_base() + greatest(
            pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint,
            pg_catalog.pg_current_xact_id_if_assigned()::text::bigint + 1))::text::xid8';
    CREATE FUNCTION public.ledger_is_behind() RETURNS boolean LANGUAGE sql STABLE AS $$
        SELECT coalesce(greatest(
            (SELECT txid FROM public.fintech_core_auditlog ORDER BY txid DESC, id DESC LIMIT 1),
            (SELECT txid FROM public.fintech_core_outboxevent ORDER BY txid DESC, id DESC LIMIT 1),
            (SELECT txid FROM public.fintech_core_outboxcursor ORDER BY txid DESC LIMIT 1)
        ) >= public.ledger_ceiling(), false)
    $$;
"""
# Nothing may be written meanwhile: a row under the old base that commits after a reader saw the new one is lost to it.
# The step of 2^32 is for readers outside (the feed's clients), who may have seen ids that a backup doesn't hold.
RAISE = """
    CREATE FUNCTION public.ledger_raise_base() RETURNS bigint LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $raise$
    DECLARE place record; newest xid8; highest bigint := 0; base bigint;
    BEGIN
        LOCK TABLE public.fintech_core_auditlog, public.fintech_core_outboxevent, public.fintech_core_outboxcursor
            IN SHARE ROW EXCLUSIVE MODE;
        FOR place IN
            SELECT c.oid::regclass AS source, a.attname AS name
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
                AND NOT a.attisdropped AND a.atttypid = 'xid8'::regtype
        LOOP
            EXECUTE format('SELECT %1$I FROM %2$s WHERE %1$I IS NOT NULL ORDER BY %1$I DESC LIMIT 1',
                place.name, place.source) INTO newest;
            highest := greatest(highest, newest::text::bigint);
        END LOOP;
        base := ledger_base() + greatest(0, highest + 1 - ledger_horizon()::text::bigint) + 4294967296;
        EXECUTE format('CREATE OR REPLACE FUNCTION public.ledger_base() RETURNS bigint LANGUAGE sql STABLE'
            ' PARALLEL SAFE AS %L', 'SELECT ' || base || '::bigint');
        RETURN base;
    END $raise$;
    REVOKE ALL ON FUNCTION public.ledger_raise_base() FROM PUBLIC;
"""
DROP = """
    DROP FUNCTION public.ledger_raise_base();
    DROP FUNCTION public.ledger_is_behind();
    DROP FUNCTION public.ledger_ceiling();
    DROP FUNCTION public.ledger_horizon();
    DROP FUNCTION public.ledger_txid();
    DROP FUNCTION public.ledger_base();
"""
RAISE_WHERE_BEHIND = "SELECT public.ledger_raise_base() WHERE public.ledger_is_behind()"


class Migration(migrations.Migration):
    dependencies = [
        ("fintech_core", "0006_outbox_owner"),
    ]

    operations = [
        migrations.RunSQL(CREATE + RAISE, DROP),
        pgtrigger.migrations.RemoveTrigger(
            model_name="auditchain",
            name="audit_chain_follows",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="auditlog",
            name="audit_own_transaction",
        ),
        migrations.AlterField(
            model_name="auditlog",
            name="txid",
            field=fintech_core.db.fields.TransactionIdField(
                db_default=fintech_core.db.fields.LedgerTransactionId(), editable=False
            ),
        ),
        migrations.AlterField(
            model_name="outboxevent",
            name="txid",
            field=fintech_core.db.fields.TransactionIdField(
                db_default=fintech_core.db.fields.LedgerTransactionId(), editable=False
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="auditchain",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_chain_follows",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    declare="DECLARE base bigint; last_hash bytea; last_txid xid8; last_id bigint; bad bigint; problem text;",
                    func="\n    SELECT min(seq) - 1 INTO base FROM new_rows;\n    SELECT c.hash, a.txid, a.id INTO last_hash, last_txid, last_id\n    FROM fintech_core_auditchain c JOIN fintech_core_auditlog a ON a.id = c.audit_id WHERE c.seq = base;\n    IF base = 0 THEN\n        last_hash := sha256(convert_to(E'fintech-core/audit/1\\n', 'UTF8'));\n        last_txid := '0';\n        last_id := 0;\n    END IF;\n\n    WITH rows AS (\n        SELECT n.seq, n.hash, a.id, a.txid,\n            base + row_number() OVER chain AS next_seq,\n            coalesce(lag(n.hash) OVER chain, last_hash) AS previous_hash,\n            coalesce(lag(a.txid) OVER chain, last_txid) AS previous_txid,\n            coalesce(lag(a.id) OVER chain, last_id) AS previous_id,\n            (SELECT string_agg(octet_length(f) || ':' || f || ',', '' ORDER BY position)\n             FROM unnest(ARRAY['1', a.id::text, a.txid::text,\n                to_char(a.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),\n                a.actor_kind, a.actor_id::text, a.actor_name, a.actor_roles::text, a.action, a.entity_type,\n                a.entity_id, a.before::text, a.after::text, a.reason, a.request_id])\n                WITH ORDINALITY AS fields (f, position)) AS line\n        FROM new_rows n LEFT JOIN fintech_core_auditlog a ON a.id = n.audit_id\n        WINDOW chain AS (ORDER BY n.seq)\n    )\n    SELECT r.seq,\n        CASE\n            WHEN r.id IS NULL OR last_hash IS NULL OR r.seq <> r.next_seq THEN 'seq has a gap'\n            WHEN r.txid >= ledger_horizon() THEN 'others may still commit before it'\n            WHEN (r.txid, r.id) <= (r.previous_txid, r.previous_id) THEN 'it stands before the one before'\n            WHEN (SELECT count(*) FROM fintech_core_auditlog a WHERE (a.txid, a.id) > (r.previous_txid, r.previous_id)\n                  AND (a.txid, a.id) < (r.txid, r.id)) > 0 THEN 'it leaves a row out'\n            WHEN r.hash <> sha256(r.previous_hash || convert_to(r.line, 'UTF8')) THEN 'hash does not follow'\n        END AS problem\n    INTO bad, problem FROM rows r ORDER BY problem NULLS LAST, r.seq LIMIT 1;\n    IF problem IS NOT NULL THEN\n        RAISE EXCEPTION 'link % of the audit chain: %', bad, problem\n            USING ERRCODE = '23514', CONSTRAINT = 'audit_chain_follows';\n    END IF;\n    RETURN NULL;\n",
                    hash="7917c2c8570dea0cc6ab6640a95e8d19adf6bdec",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_audit_chain_follows_e000d",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="fintech_core_auditchain",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="auditlog",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_own_transaction",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n    IF NEW.txid IS DISTINCT FROM ledger_txid() THEN\n        RAISE EXCEPTION 'an audit row belongs to the transaction that writes it'\n            USING ERRCODE = '23514', CONSTRAINT = 'audit_own_transaction';\n    END IF;\n    RETURN NEW;\n",
                    hash="2c9f5bb5848dea4dd16b9b917cfb7fdf1e877a83",
                    operation="INSERT",
                    pgid="pgtrigger_audit_own_transaction_81358",
                    table="fintech_core_auditlog",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="auditlog",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_ledger_base",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n    IF (SELECT t.txid FROM fintech_core_auditlog t ORDER BY t.txid DESC, t.id DESC LIMIT 1) >= ledger_ceiling() THEN\n        RAISE EXCEPTION 'stored transaction ids lie above those of this cluster: manage.py raise_ledger_base'\n            USING ERRCODE = '55000', CONSTRAINT = 'audit_ledger_base';\n    END IF;\n    RETURN NULL;\n",
                    hash="809ce3e6330e18c394b2dcdd6c4c4a61820aa5f6",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_audit_ledger_base_0f8ee",
                    table="fintech_core_auditlog",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="outboxevent",
            trigger=pgtrigger.compiler.Trigger(
                name="outbox_ledger_base",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n    IF (SELECT t.txid FROM fintech_core_outboxevent t ORDER BY t.txid DESC, t.id DESC LIMIT 1) >= ledger_ceiling() THEN\n        RAISE EXCEPTION 'stored transaction ids lie above those of this cluster: manage.py raise_ledger_base'\n            USING ERRCODE = '55000', CONSTRAINT = 'outbox_ledger_base';\n    END IF;\n    RETURN NULL;\n",
                    hash="5b236934f9000bfc11015c806027600e82106aba",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_outbox_ledger_base_aaeb4",
                    table="fintech_core_outboxevent",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="outboxevent",
            trigger=pgtrigger.compiler.Trigger(
                name="outbox_own_transaction",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n    IF EXISTS (SELECT FROM new_rows r WHERE r.txid IS DISTINCT FROM ledger_txid()) THEN\n        RAISE EXCEPTION 'an event belongs to the transaction that writes it'\n            USING ERRCODE = '23514', CONSTRAINT = 'outbox_own_transaction';\n    END IF;\n    RETURN NULL;\n",
                    hash="1be40924090f0ad81bbdd812774915bb79b1084f",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_outbox_own_transaction_a46dd",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="fintech_core_outboxevent",
                    when="AFTER",
                ),
            ),
        ),
        migrations.RunSQL(RAISE_WHERE_BEHIND, migrations.RunSQL.noop),
    ]
