"""The table of messages becomes `messaging`'s: renamed with all that carries its name. Rows and grants stay."""

from django.db import migrations

_RENAME = """
    ALTER TABLE {old} RENAME TO {new};
    DO $$
    DECLARE named record;
    BEGIN
        FOR named IN
            SELECT conname AS name FROM pg_constraint
            WHERE conrelid = '{new}'::regclass AND starts_with(conname, '{old}_')
        LOOP
            EXECUTE format('ALTER TABLE {new} RENAME CONSTRAINT %I TO %I', named.name,
                '{new}' || substr(named.name, length('{old}') + 1));
        END LOOP;
    END $$;
    UPDATE django_content_type SET app_label = '{new_room}' WHERE app_label = '{old_room}' AND model = 'message';
"""


class Migration(migrations.Migration):
    dependencies = [
        ("users", "0018_short_passwords"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.DeleteModel("Message")],
            database_operations=[
                migrations.RunSQL(
                    _RENAME.format(
                        old="users_message", new="messaging_message", old_room="users", new_room="messaging"
                    ),
                    _RENAME.format(
                        old="messaging_message", new="users_message", old_room="messaging", new_room="users"
                    ),
                )
            ],
        ),
    ]
