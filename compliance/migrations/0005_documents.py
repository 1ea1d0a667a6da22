"""Blind indexes of documents. Rows that are there get theirs here, while the trigger that keeps them is away."""

import fintech_core.db.triggers
import fintech_core.security.encrypted_fields
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models

from compliance.documents import document_key
from fintech_core.db.grants import APP
from fintech_core.security.encrypted_fields import digest_for

_BATCH = 500


def _fill(apps, schema_editor):
    model = apps.get_model("compliance", "KycSubmission")
    indexes = [model._meta.get_field(f"document_index_{slot}") for slot in ("a", "b")]
    rows = model.objects.filter(document_number__isnull=False).order_by("pk")
    for row in rows.iterator(_BATCH):
        key = document_key(row.document_type, row.country, row.document_number)
        # Not save(): the historical model lacks the property that the index is made of.
        model.objects.filter(pk=row.pk).update(**{index.name: digest_for(index, key) for index in indexes})


class Migration(migrations.Migration):
    dependencies = [
        ("compliance", "0004_rotation_and_erasure"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name="kycsubmission",
            name="kyc_submission_map",
        ),
        migrations.AddField(
            model_name="kycsubmission",
            name="document_index_a",
            field=fintech_core.security.encrypted_fields.BlindIndexField(
                purpose="kyc_document", slot="a", source="document_key"
            ),
        ),
        migrations.AddField(
            model_name="kycsubmission",
            name="document_index_b",
            field=fintech_core.security.encrypted_fields.BlindIndexField(
                purpose="kyc_document", slot="b", source="document_key"
            ),
        ),
        migrations.RunPython(_fill, migrations.RunPython.noop),
        # Not GrantToApp: undone, that takes every right on the table.
        migrations.RunSQL(
            f'GRANT UPDATE ("document_index_a", "document_index_b") ON "compliance_kycsubmission" TO {APP}',
            f'REVOKE UPDATE ("document_index_a", "document_index_b") ON "compliance_kycsubmission" FROM {APP}',
        ),
        migrations.AddIndex(
            model_name="kycsubmission",
            index=models.Index(fields=["document_index_a"], name="kyc_document_a"),
        ),
        migrations.AddIndex(
            model_name="kycsubmission",
            index=models.Index(fields=["document_index_b"], name="kyc_document_b"),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="kycsubmission",
            trigger=pgtrigger.compiler.Trigger(
                name="kyc_submission_map",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n    IF (to_jsonb(NEW) - ARRAY['first_name', 'last_name', 'date_of_birth', 'address', 'document_number', 'document_index_a', 'document_index_b']) = (to_jsonb(OLD) - ARRAY['first_name', 'last_name', 'date_of_birth', 'address', 'document_number', 'document_index_a', 'document_index_b']) AND num_nulls(NEW.first_name, NEW.last_name, NEW.date_of_birth, NEW.address, NEW.document_number) = 0 AND coalesce(nullif(current_setting('role'), 'none'), session_user) = 'fintech_owner'\n       AND (NEW.first_name = OLD.first_name OR (substring(NEW.first_name FROM 1 FOR 1) = '\\x01'::bytea AND substring(NEW.first_name FROM 2 FOR 2) <> substring(OLD.first_name FROM 2 FOR 2) AND octet_length(NEW.first_name) = octet_length(OLD.first_name))) AND (NEW.last_name = OLD.last_name OR (substring(NEW.last_name FROM 1 FOR 1) = '\\x01'::bytea AND substring(NEW.last_name FROM 2 FOR 2) <> substring(OLD.last_name FROM 2 FOR 2) AND octet_length(NEW.last_name) = octet_length(OLD.last_name))) AND (NEW.date_of_birth = OLD.date_of_birth OR (substring(NEW.date_of_birth FROM 1 FOR 1) = '\\x01'::bytea AND substring(NEW.date_of_birth FROM 2 FOR 2) <> substring(OLD.date_of_birth FROM 2 FOR 2) AND octet_length(NEW.date_of_birth) = octet_length(OLD.date_of_birth))) AND (NEW.address = OLD.address OR (substring(NEW.address FROM 1 FOR 1) = '\\x01'::bytea AND substring(NEW.address FROM 2 FOR 2) <> substring(OLD.address FROM 2 FOR 2) AND octet_length(NEW.address) = octet_length(OLD.address))) AND (NEW.document_number = OLD.document_number OR (substring(NEW.document_number FROM 1 FOR 1) = '\\x01'::bytea AND substring(NEW.document_number FROM 2 FOR 2) <> substring(OLD.document_number FROM 2 FOR 2) AND octet_length(NEW.document_number) = octet_length(OLD.document_number))) AND (NEW.first_name, NEW.last_name, NEW.date_of_birth, NEW.address, NEW.document_number, NEW.document_index_a, NEW.document_index_b) IS DISTINCT FROM (OLD.first_name, OLD.last_name, OLD.date_of_birth, OLD.address, OLD.document_number, OLD.document_index_a, OLD.document_index_b) THEN\n        RETURN NEW;\n    END IF;\n    IF (to_jsonb(NEW) - ARRAY['first_name', 'last_name', 'date_of_birth', 'address', 'document_number', 'document_index_a', 'document_index_b']) = (to_jsonb(OLD) - ARRAY['first_name', 'last_name', 'date_of_birth', 'address', 'document_number', 'document_index_a', 'document_index_b']) AND num_nonnulls(NEW.first_name, NEW.last_name, NEW.date_of_birth, NEW.address, NEW.document_number, NEW.document_index_a, NEW.document_index_b) = 0\n       AND OLD.status NOT IN ('IN_REVIEW', 'SUBMITTED') AND OLD.first_name IS NOT NULL\n       AND EXISTS (SELECT FROM users_user WHERE id = NEW.user_id AND erased_at IS NOT NULL) THEN\n        RETURN NEW;\n    END IF;\n    IF (OLD.status, NEW.status) NOT IN (('APPROVED', 'EXPIRED'), ('IN_REVIEW', 'APPROVED'), ('IN_REVIEW', 'REJECTED'), ('SUBMITTED', 'APPROVED'), ('SUBMITTED', 'IN_REVIEW'), ('SUBMITTED', 'REJECTED')) THEN\n        RAISE EXCEPTION 'a submission never moves from % to %', OLD.status, NEW.status USING ERRCODE = '23514', CONSTRAINT = 'kyc_submission_map';\n    END IF;\n    IF (NEW.id, NEW.user_id, NEW.level, NEW.first_name, NEW.last_name, NEW.date_of_birth, NEW.country, NEW.address, NEW.document_type, NEW.document_number, NEW.document_index_a, NEW.document_index_b, NEW.created_at) IS DISTINCT FROM (OLD.id, OLD.user_id, OLD.level, OLD.first_name, OLD.last_name, OLD.date_of_birth, OLD.country, OLD.address, OLD.document_type, OLD.document_number, OLD.document_index_a, OLD.document_index_b, OLD.created_at) THEN\n        RAISE EXCEPTION 'what was submitted never changes' USING ERRCODE = '23514', CONSTRAINT = 'kyc_submission_map';\n    END IF;\n    IF OLD.status NOT IN ('IN_REVIEW', 'SUBMITTED') AND (NEW.decided_by_id, NEW.decided_at, NEW.reject_reason, NEW.granted_level) IS DISTINCT FROM (OLD.decided_by_id, OLD.decided_at, OLD.reject_reason, OLD.granted_level) THEN\n        RAISE EXCEPTION 'what was decided never changes' USING ERRCODE = '23514', CONSTRAINT = 'kyc_submission_map';\n    END IF;\n    RETURN NEW;\n",
                    hash="afe8d86c2b97efa2e34e6efd9e1648e87fccb784",
                    operation="UPDATE",
                    pgid="pgtrigger_kyc_submission_map_c8527",
                    table="compliance_kycsubmission",
                    when="BEFORE",
                ),
            ),
        ),
    ]
