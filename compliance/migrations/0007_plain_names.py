"""Names and texts of triggers in the terms of docs/glossary.md."""

import fintech_core.db.triggers
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("compliance", "0006_document_numbers"),
    ]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name="kycsubmission",
            name="kyc_submission_born",
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="kycsubmission",
            trigger=pgtrigger.compiler.Trigger(
                name="kyc_submission_created",
                sql=fintech_core.db.triggers.SealedTriggerSql(
                    func="\n    IF NEW.status <> 'SUBMITTED' THEN\n        RAISE EXCEPTION 'a submission is created as SUBMITTED' USING ERRCODE = '23514', CONSTRAINT = 'kyc_submission_map';\n    END IF;\n    IF num_nulls(NEW.first_name, NEW.last_name, NEW.date_of_birth, NEW.address, NEW.document_number) <> 0 THEN\n        RAISE EXCEPTION 'a submission is created complete' USING ERRCODE = '23514', CONSTRAINT = 'kyc_submission_map';\n    END IF;\n    RETURN NEW;\n",
                    hash="d59b75d36bc3c66c75ac0ca9a8fbf7baed9ab3c7",
                    operation="INSERT",
                    pgid="pgtrigger_kyc_submission_created_4ba3a",
                    table="compliance_kycsubmission",
                    when="BEFORE",
                ),
            ),
        ),
    ]
