"""The plain columns go, and the trigger that keeps submissions as they were is back."""

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations

import fintech_core.db.triggers
from fintech_core.security.encrypted_fields import EncryptedDateField
from fintech_core.security.encrypted_fields import EncryptedTextField

_TEXTS = ("first_name", "last_name", "address", "document_number")


class Migration(migrations.Migration):
    dependencies = [("compliance", "0002_personal_data")]

    operations = [
        *(migrations.RemoveField("kycsubmission", f"plain_{name}") for name in (*_TEXTS, "date_of_birth")),
        *(migrations.AlterField("kycsubmission", name, EncryptedTextField()) for name in _TEXTS),
        migrations.AlterField("kycsubmission", "date_of_birth", EncryptedDateField()),
        pgtrigger.migrations.AddTrigger(
            model_name="kycsubmission",
            trigger=pgtrigger.compiler.Trigger(
                name="kyc_submission_map",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n    IF (OLD.status, NEW.status) NOT IN (('APPROVED', 'EXPIRED'), ('IN_REVIEW', 'APPROVED'), ('IN_REVIEW', 'REJECTED'), ('SUBMITTED', 'APPROVED'), ('SUBMITTED', 'IN_REVIEW'), ('SUBMITTED', 'REJECTED')) THEN\n        RAISE EXCEPTION 'a submission never moves from % to %', OLD.status, NEW.status USING ERRCODE = '23514', CONSTRAINT = 'kyc_submission_map';\n    END IF;\n    IF (NEW.id, NEW.user_id, NEW.level, NEW.first_name, NEW.last_name, NEW.date_of_birth, NEW.country, NEW.address, NEW.document_type, NEW.document_number, NEW.created_at) IS DISTINCT FROM (OLD.id, OLD.user_id, OLD.level, OLD.first_name, OLD.last_name, OLD.date_of_birth, OLD.country, OLD.address, OLD.document_type, OLD.document_number, OLD.created_at) THEN\n        RAISE EXCEPTION 'what was submitted never changes' USING ERRCODE = '23514', CONSTRAINT = 'kyc_submission_map';\n    END IF;\n    IF OLD.status NOT IN ('IN_REVIEW', 'SUBMITTED') AND (NEW.decided_by_id, NEW.decided_at, NEW.reject_reason, NEW.granted_level) IS DISTINCT FROM (OLD.decided_by_id, OLD.decided_at, OLD.reject_reason, OLD.granted_level) THEN\n        RAISE EXCEPTION 'what was decided never changes' USING ERRCODE = '23514', CONSTRAINT = 'kyc_submission_map';\n    END IF;\n    RETURN NEW;\n",
                    hash="7347752a080c9efd979685669a3cb721ee89564b",
                    operation="UPDATE",
                    pgid="pgtrigger_kyc_submission_map_c8527",
                    table="compliance_kycsubmission",
                    when="BEFORE",
                ),
            ),
        ),
    ]
