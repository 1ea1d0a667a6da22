"""Owns how a database is made ready: roles, migrations, demo data. Several manage.py commands in one process are quick.

Usage: python -m devtools.prepare_database [--demo CREDENTIALS]. Prints one line for each step, and a command's
own words only when it fails.
"""

from __future__ import annotations

import io
import os
import sys
import time

import django
from django.core.management import call_command


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fintech_core.settings")
    django.setup()
    steps = [("Roles", ["setup_database_roles"]), ("Migrations", ["migrate", "--noinput"])]
    if sys.argv[1:2] == ["--demo"]:
        steps.append(("Demo data", ["load_demo", "--credentials", sys.argv[2]]))
    for title, command in steps:
        began = time.monotonic()
        said = io.StringIO()
        try:
            call_command(*command, stdout=said)
        except BaseException:
            sys.stdout.write(said.getvalue())
            raise
        sys.stdout.write(f"{title}: done in {time.monotonic() - began:.1f} s\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
