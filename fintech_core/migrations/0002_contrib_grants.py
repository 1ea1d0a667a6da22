"""What the app role may do with Django's own tables: browser sessions, role groups, the admin's log; catalogues to read."""

from django.db import migrations

from fintech_core.db.grants import GrantToApp


class Migration(migrations.Migration):
    dependencies = [
        ("fintech_core", "0001_initial"),
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("sessions", "0001_initial"),
    ]

    operations = [
        GrantToApp("django_migrations"),
        GrantToApp("django_content_type"),
        GrantToApp("auth_permission"),
        GrantToApp("auth_group", insert=True),
        GrantToApp("auth_group_permissions", insert=True, delete=True),
        GrantToApp("django_admin_log", insert=True),
        GrantToApp("django_session", insert=True, update=True, delete=True),
    ]
