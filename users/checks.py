"""What the settings of text messages mean for the customers that there are."""

from collections import Counter
from itertools import islice
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import DEFAULT_DB_ALIAS, connection

from fintech_core.security.crypto import DecryptionFailed
from fintech_core.security.encrypted_fields import crypto_columns
from messaging.services.sms_caps import region_of
from users.models import User

READ_AT_MOST = 100_000  # encrypted numbers; a few seconds


@register(Tags.database)
def numbers_not_served(app_configs: Any, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Run by `migrate` and by `check --database default`: verified numbers of countries that aren't served."""
    if DEFAULT_DB_ALIAS not in (databases or ()) or settings.SMS_PROVIDER == "none" or not _is_migrated():
        return []
    try:
        regions = Counter(region_of(phone) or "unknown" for phone in _verified_numbers())
    except DecryptionFailed as error:  # a warning must not stop `migrate`
        message = f"Whether customers have phone numbers outside of SMS_COUNTRIES can't be determined: {error}."
        return [Warning(message, id="fintech.W028")]
    outside = {region: count for region, count in regions.items() if region not in settings.SMS_COUNTRIES}
    if not outside:
        return []
    listed = ", ".join(f"{region} {count}" for region, count in sorted(outside.items()))
    message = f"Customers have {sum(outside.values())} verified phone numbers outside of SMS_COUNTRIES: {listed}."
    hint = "They get log-in codes in networks only that they have logged in from. Add the countries to SMS_COUNTRIES."
    return [Warning(message, hint=hint, id="fintech.W027")]


def _verified_numbers() -> list[str]:
    verified = User.objects.filter(phone_verified_at__isnull=False, is_active=True).only(*crypto_columns("phone"))
    return [user.phone for user in islice(verified.iterator(), READ_AT_MOST) if user.phone]


def _is_migrated() -> bool:
    """`migrate` asks before it makes the table, and while it has older columns."""
    needed = {"phone_verified_at", "is_active", *crypto_columns("phone")}
    with connection.cursor() as cursor:
        if User._meta.db_table not in connection.introspection.table_names(cursor):
            return False
        columns = connection.introspection.get_table_description(cursor, User._meta.db_table)
    return needed <= {column.name for column in columns}
