"""Which passwords are good beside a second factor only. Of those that exist nothing is known but that they were set
beside one or have 15 characters: so all of users who have one count as short, until they set another."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("users", "0017_sms_shares"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="password_is_short",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.RunSQL(
            """
            UPDATE users_user SET password_is_short = true
            WHERE password NOT LIKE '!%' AND id IN (SELECT user_id FROM users_totpdevice WHERE confirmed)
            """,
            migrations.RunSQL.noop,
        ),
    ]
