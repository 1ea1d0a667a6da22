"""The encrypted columns may change their key (the owner) and be erased (with their person), and not otherwise."""

import fintech_core.db.triggers
import fintech_core.security.encrypted_fields
from fintech_core.db.grants import GrantToApp
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("compliance", "0003_no_plain_data"),
        ("users", "0009_erasure"),
    ]

    operations = [
        GrantToApp(
            "compliance_kycsubmission",
            update=("first_name", "last_name", "date_of_birth", "address", "document_number"),
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="kycsubmission",
            name="kyc_submission_born",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="kycsubmission",
            name="kyc_submission_map",
        ),
        migrations.AlterField(
            model_name="kycsubmission",
            name="address",
            field=fintech_core.security.encrypted_fields.EncryptedTextField(null=True),
        ),
        migrations.AlterField(
            model_name="kycsubmission",
            name="date_of_birth",
            field=fintech_core.security.encrypted_fields.EncryptedDateField(null=True),
        ),
        migrations.AlterField(
            model_name="kycsubmission",
            name="document_number",
            field=fintech_core.security.encrypted_fields.EncryptedTextField(null=True),
        ),
        migrations.AlterField(
            model_name="kycsubmission",
            name="first_name",
            field=fintech_core.security.encrypted_fields.EncryptedTextField(null=True),
        ),
        migrations.AlterField(
            model_name="kycsubmission",
            name="last_name",
            field=fintech_core.security.encrypted_fields.EncryptedTextField(null=True),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="kycsubmission",
            trigger=pgtrigger.compiler.Trigger(
                name="kyc_submission_born",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n    IF NEW.status <> 'SUBMITTED' THEN\n        RAISE EXCEPTION 'a submission is born SUBMITTED' USING ERRCODE = '23514', CONSTRAINT = 'kyc_submission_map';\n    END IF;\n    IF num_nulls(NEW.first_name, NEW.last_name, NEW.date_of_birth, NEW.address, NEW.document_number) <> 0 THEN\n        RAISE EXCEPTION 'a submission is born whole' USING ERRCODE = '23514', CONSTRAINT = 'kyc_submission_map';\n    END IF;\n    RETURN NEW;\n",
                    hash="5d27274b6bfacbf076fbf10f92b1adb38c7a441f",
                    operation="INSERT",
                    pgid="pgtrigger_kyc_submission_born_0d9ab",
                    table="compliance_kycsubmission",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="kycsubmission",
            trigger=pgtrigger.compiler.Trigger(
                name="kyc_submission_map",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n    IF (to_jsonb(NEW) - ARRAY['first_name', 'last_name', 'date_of_birth', 'address', 'document_number']) = (to_jsonb(OLD) - ARRAY['first_name', 'last_name', 'date_of_birth', 'address', 'document_number']) AND num_nulls(NEW.first_name, NEW.last_name, NEW.date_of_birth, NEW.address, NEW.document_number) = 0 AND coalesce(nullif(current_setting('role'), 'none'), session_user) = 'fintech_owner'\n       AND (NEW.first_name = OLD.first_name OR (substring(NEW.first_name FROM 1 FOR 1) = '\\x01'::bytea AND substring(NEW.first_name FROM 2 FOR 2) <> substring(OLD.first_name FROM 2 FOR 2) AND octet_length(NEW.first_name) = octet_length(OLD.first_name))) AND (NEW.last_name = OLD.last_name OR (substring(NEW.last_name FROM 1 FOR 1) = '\\x01'::bytea AND substring(NEW.last_name FROM 2 FOR 2) <> substring(OLD.last_name FROM 2 FOR 2) AND octet_length(NEW.last_name) = octet_length(OLD.last_name))) AND (NEW.date_of_birth = OLD.date_of_birth OR (substring(NEW.date_of_birth FROM 1 FOR 1) = '\\x01'::bytea AND substring(NEW.date_of_birth FROM 2 FOR 2) <> substring(OLD.date_of_birth FROM 2 FOR 2) AND octet_length(NEW.date_of_birth) = octet_length(OLD.date_of_birth))) AND (NEW.address = OLD.address OR (substring(NEW.address FROM 1 FOR 1) = '\\x01'::bytea AND substring(NEW.address FROM 2 FOR 2) <> substring(OLD.address FROM 2 FOR 2) AND octet_length(NEW.address) = octet_length(OLD.address))) AND (NEW.document_number = OLD.document_number OR (substring(NEW.document_number FROM 1 FOR 1) = '\\x01'::bytea AND substring(NEW.document_number FROM 2 FOR 2) <> substring(OLD.document_number FROM 2 FOR 2) AND octet_length(NEW.document_number) = octet_length(OLD.document_number))) AND (NEW.first_name, NEW.last_name, NEW.date_of_birth, NEW.address, NEW.document_number) IS DISTINCT FROM (OLD.first_name, OLD.last_name, OLD.date_of_birth, OLD.address, OLD.document_number) THEN\n        RETURN NEW;\n    END IF;\n    IF (to_jsonb(NEW) - ARRAY['first_name', 'last_name', 'date_of_birth', 'address', 'document_number']) = (to_jsonb(OLD) - ARRAY['first_name', 'last_name', 'date_of_birth', 'address', 'document_number']) AND num_nonnulls(NEW.first_name, NEW.last_name, NEW.date_of_birth, NEW.address, NEW.document_number) = 0\n       AND OLD.status NOT IN ('IN_REVIEW', 'SUBMITTED') AND OLD.first_name IS NOT NULL\n       AND EXISTS (SELECT FROM users_user WHERE id = NEW.user_id AND erased_at IS NOT NULL) THEN\n        RETURN NEW;\n    END IF;\n    IF (OLD.status, NEW.status) NOT IN (('APPROVED', 'EXPIRED'), ('IN_REVIEW', 'APPROVED'), ('IN_REVIEW', 'REJECTED'), ('SUBMITTED', 'APPROVED'), ('SUBMITTED', 'IN_REVIEW'), ('SUBMITTED', 'REJECTED')) THEN\n        RAISE EXCEPTION 'a submission never moves from % to %', OLD.status, NEW.status USING ERRCODE = '23514', CONSTRAINT = 'kyc_submission_map';\n    END IF;\n    IF (NEW.id, NEW.user_id, NEW.level, NEW.first_name, NEW.last_name, NEW.date_of_birth, NEW.country, NEW.address, NEW.document_type, NEW.document_number, NEW.created_at) IS DISTINCT FROM (OLD.id, OLD.user_id, OLD.level, OLD.first_name, OLD.last_name, OLD.date_of_birth, OLD.country, OLD.address, OLD.document_type, OLD.document_number, OLD.created_at) THEN\n        RAISE EXCEPTION 'what was submitted never changes' USING ERRCODE = '23514', CONSTRAINT = 'kyc_submission_map';\n    END IF;\n    IF OLD.status NOT IN ('IN_REVIEW', 'SUBMITTED') AND (NEW.decided_by_id, NEW.decided_at, NEW.reject_reason, NEW.granted_level) IS DISTINCT FROM (OLD.decided_by_id, OLD.decided_at, OLD.reject_reason, OLD.granted_level) THEN\n        RAISE EXCEPTION 'what was decided never changes' USING ERRCODE = '23514', CONSTRAINT = 'kyc_submission_map';\n    END IF;\n    RETURN NEW;\n",
                    hash="378e9bb7944c198e3896a8ee0591f1c203498d42",
                    operation="UPDATE",
                    pgid="pgtrigger_kyc_submission_map_c8527",
                    table="compliance_kycsubmission",
                    when="BEFORE",
                ),
            ),
        ),
        migrations.AddConstraint(
            model_name="kycsubmission",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("address__isnull", False),
                        ("date_of_birth__isnull", False),
                        ("document_number__isnull", False),
                        ("first_name__isnull", False),
                        ("last_name__isnull", False),
                    ),
                    models.Q(
                        ("address__isnull", True),
                        ("date_of_birth__isnull", True),
                        ("document_number__isnull", True),
                        ("first_name__isnull", True),
                        ("last_name__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="kyc_submission_erased_whole",
            ),
        ),
    ]
