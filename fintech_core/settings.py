"""All settings, read from the environment (django-environ). Every variable is in `.env.example`.

Real environment variables win over `.env`, which wins over `.local/env` (written by `make run`). Outside development
nothing secret has a default: a missing variable stops the process with its name.
"""

import base64
import hashlib
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from celery.schedules import crontab
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy
from redis.backoff import NoBackoff
from redis.retry import Retry

from fintech_core.rooms import ROOMS

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
for env_file in (BASE_DIR / ".env", BASE_DIR / ".local" / "env"):
    if env_file.is_file() and env.str("ENVIRONMENT", default="") != "test":
        env.read_env(env_file)

# A deployment that forgets to say what it is must not run on development's known secrets.
ENVIRONMENT: str = env.str("ENVIRONMENT", default="production")
if ENVIRONMENT not in {"development", "test", "production"}:
    raise ImproperlyConfigured("ENVIRONMENT is development, test or production")
DEVELOPMENT = ENVIRONMENT != "production"
PROCESS_ROLE: str = env.str("PROCESS_ROLE", default="command")


def secret(name: str) -> str:
    """A secret from the environment; in development derived from the variable's name, elsewhere required."""
    if DEVELOPMENT:
        return env.str(name, default=f"development-only:{hashlib.sha256(name.encode()).hexdigest()}")
    return env.str(name)


SECRET_KEY = secret("SECRET_KEY")
JWT_SIGNING_KEY = secret("JWT_SIGNING_KEY")
# Keys that are accepted and never used to sign: the next one before it is put in force, the former one afterwards
# (docs/security.md, Secrets and their rotation).
SECRET_KEY_FALLBACKS = list(filter(None, [env.str("SECRET_PREVIOUS_KEY", default="")]))
JWT_PREVIOUS_KEY: str = env.str("JWT_PREVIOUS_KEY", default="")
IDEMPOTENCY_HMAC_KEY = secret("IDEMPOTENCY_HMAC_KEY")
IDEMPOTENCY_HMAC_PREVIOUS_KEY: str = env.str("IDEMPOTENCY_HMAC_PREVIOUS_KEY", default="")


def key_ring(name: str) -> str:
    """Keys from the environment (fintech_core/security/crypto.py); in development one key from the variable's name."""
    if DEVELOPMENT:
        return env.str(name, default="1:" + base64.b64encode(hashlib.sha256(name.encode()).digest()).decode())
    return env.str(name)


# Personal data: what encrypts it, and what its blind indexes are made with. Losing them is losing the data.
PII_KEYS = key_ring("PII_KEYS")
PII_INDEX_KEYS = key_ring("PII_INDEX_KEYS")
# Whom `backup` encrypts for (public keys of age), and the file that lets `restore_backup` decrypt.
BACKUP_RECIPIENTS: list[str] = env.list("BACKUP_RECIPIENTS", default=[])
BACKUP_IDENTITY_FILE: str = env.str("BACKUP_IDENTITY_FILE", default="")
RESTORE_DATABASE_URL: str = env.str("RESTORE_DATABASE_URL", default="")
DEBUG: bool = env.bool("DEBUG", default=False)
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"] if DEVELOPMENT else [])
PUBLIC_URL: str = env.str("PUBLIC_URL", default="http://localhost:8000").rstrip("/")

# --- Applications -----------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # its other one puts its own site in the place of ours
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "users.admin_auth.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "django_otp",
    "pgtrigger",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    *ROOMS,
]

MIDDLEWARE = [
    "fintech_core.http.middleware.TrailingSlashMiddleware",
    "fintech_core.http.middleware.RequestContextMiddleware",
    # Before whatever may answer by itself: refusals and static files have these headers, too.
    "django.middleware.security.SecurityMiddleware",
    "fintech_core.http.middleware.ContentSecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "fintech_core.http.single_values.SingleValuesMiddleware",
    "fintech_core.http.body_limits.BodyMiddleware",
    "fintech_core.http.client_address.ClientAddressMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "fintech_core.limits.ratelimit.RateLimitMiddleware",
    "fintech_core.http.body_limits.BodyLimitMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "users.admin_auth.middleware.AdminSessionMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

ROOT_URLCONF = "fintech_core.urls"
WSGI_APPLICATION = "fintech_core.wsgi.application"
APPEND_SLASH = True  # for /admin; the API's paths have none (TrailingSlashMiddleware)

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- Database: two roles, timeouts by the role of the process --------------------------------------------------------

DATABASE_URL: str = env.str(
    "DATABASE_URL", default="postgres://localhost/fintech" if DEVELOPMENT else environ.Env.NOTSET
)
DATABASE_OWNER_URL: str = env.str("DATABASE_OWNER_URL", default=DATABASE_URL)
DATABASE_APP_ROLE = "fintech_app"
DATABASE_OWNER_ROLE = "fintech_owner"

# statement, lock, idle-in-transaction timeouts in milliseconds; 0 is none (ARCHITECTURE.md, Processes). A command may
# read the whole books in a statement, but waits for no lock for long: what it has begun delays what others call final.
DATABASE_TIMEOUTS = {
    "web": (5_000, 3_000, 10_000),
    "worker": (60_000, 10_000, 60_000),
    "command": (3_600_000, 30_000, 600_000),
}
# Migrations and backups, whatever the process: a statement takes as long as it takes.
OWNER_TIMEOUTS = (0, 60_000, 0)
if PROCESS_ROLE not in DATABASE_TIMEOUTS:
    raise ImproperlyConfigured("PROCESS_ROLE is web, worker or command")


def database_config(url: str, role: str) -> dict[str, Any]:
    """Django's settings of one connection that acts as `role`, whatever the login."""
    config = env.db_url_config(url)
    statement, lock, idle = DATABASE_TIMEOUTS[PROCESS_ROLE] if role == DATABASE_APP_ROLE else OWNER_TIMEOUTS
    options = config.setdefault("OPTIONS", {})
    options["options"] = (
        f"-c role={role} -c statement_timeout={statement} -c lock_timeout={lock} "
        f"-c idle_in_transaction_session_timeout={idle}"
    )
    options["application_name"] = f"fintech-core-{PROCESS_ROLE}"
    options.setdefault("connect_timeout", 3)
    options.setdefault("tcp_user_timeout", 5_000)  # a host that is gone without a word: no answer to a packet in 5 s
    # Values travel apart from statements, which are parsed and planned once per connection (docs/performance.md). None
    # keeps psycopg from preparing anything.
    options["server_side_binding"] = True
    options["prepare_threshold"] = 1 if env.bool("DATABASE_PREPARED_STATEMENTS", default=True) else None
    config["ENGINE"] = "django.db.backends.postgresql"
    config["CONN_MAX_AGE"] = None
    config["CONN_HEALTH_CHECKS"] = True
    if PROCESS_ROLE == "web" and role == DATABASE_APP_ROLE:
        config["ENGINE"], config["CONN_MAX_AGE"] = (
            "fintech_core.db.postgresql",
            0,
        )  # each request returns its connection
        options["pool"] = env.int("DATABASE_POOL_SIZE", default=10)
    return config


DATABASES = {"default": database_config(DATABASE_URL, DATABASE_APP_ROLE)}
DATABASE_OWNER = database_config(DATABASE_OWNER_URL, DATABASE_OWNER_ROLE)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Cache and queue --------------------------------------------------------------------------------------------------

REDIS_URL: str = env.str("REDIS_URL", default="redis://localhost:6379/0" if DEVELOPMENT else environ.Env.NOTSET)
# A cache that is down must not hold a request up: redis-py's own default is ten retries.
REDIS_CLIENT = {"socket_connect_timeout": 0.3, "socket_timeout": 0.3, "retry": Retry(NoBackoff(), 0)}
# What libraries would keep (Unfold's search of the admin), Django pickles: who can write to Valkey would run code here,
# and pages would fail while it is away. So they keep nothing.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}


def celery_broker_url(redis_url: str) -> str:
    """The same server in kombu's spelling: `unix:///path?db=0` is `redis+socket:///path?virtual_host=0` there."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    database = dict(item.split("=", 1) for item in parts.query.split("&") if "=" in item).get("db", "0")
    return f"redis+socket://{parts.path}?virtual_host={database}"


CELERY_BROKER_URL = celery_broker_url(REDIS_URL)
# A killed worker's tasks come back after the visibility timeout, so it is short; every task is shorter (time limits).
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 60,
    "socket_connect_timeout": 0.5,
    "socket_timeout": 5,
    "global_keyprefix": "fintech-core:",
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_PUBLISH_RETRY = False  # the row is the truth and a beat job sweeps it: no request waits for the broker
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_TIME_LIMIT = 50
CELERY_TASK_SOFT_TIME_LIMIT = 40
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
# A plain interval starts anew with every fresh schedule file, that is with every deployment: one of a day never fires
# where deployments are daily. So everything of an hour or more has a fixed time (crontab, UTC).
CELERY_BEAT_SCHEDULE = {
    "canary": {"task": "fintech_core.canary", "schedule": 10.0, "options": {"expires": 30}},
    "seal-audit": {"task": "fintech_core.seal_audit", "schedule": 30.0, "options": {"expires": 30}},
    "seal-ledger": {"task": "transactions.seal_ledger", "schedule": crontab(minute="0"), "options": {"expires": 1800}},
    "purge-idempotency-records": {"task": "fintech_core.purge_idempotency_records", "schedule": crontab(minute="30")},
    "purge-attempt-budgets": {"task": "fintech_core.purge_attempt_budgets", "schedule": 600.0},
    "drain-outbox": {"task": "fintech_core.drain_outbox", "schedule": 2.0, "options": {"expires": 10}},
    "erase-texts": {"task": "offboarding.erase_texts", "schedule": 60.0, "options": {"expires": 60}},
    "erase-kyc": {"task": "compliance.erase_kyc", "schedule": crontab(hour="3", minute="20")},
    "purge-invitations": {"task": "organizations.purge_invitations", "schedule": crontab(minute="40")},
    "erase-organizations": {"task": "organizations.erase_closed", "schedule": crontab(hour="3", minute="50")},
    "purge-credentials": {"task": "users.purge_credentials", "schedule": 60.0, "options": {"expires": 60}},
    "sweep-messages": {"task": "messaging.sweep_messages", "schedule": 15.0, "options": {"expires": 15}},
    "sweep-webhook-events": {"task": "payments.sweep_webhook_events", "schedule": 10.0, "options": {"expires": 30}},
    "purge-outflows": {"task": "transactions.purge_outflows", "schedule": crontab(minute="45")},
    "expire-holds": {"task": "transactions.expire_holds", "schedule": 30.0, "options": {"expires": 30}},
    "run-schedules": {"task": "transactions.run_schedules", "schedule": 30.0, "options": {"expires": 30}},
    # Four times a day, since a tick during a deployment is missed; a run without news changes nothing.
    "reconcile": {"task": "reconciliation.reconcile_all", "schedule": crontab(minute="10", hour="*/6")},
    "expire-intents": {"task": "payments.expire_intents", "schedule": 60.0, "options": {"expires": 60}},
    "sweep-simulator": {"task": "payments.sweep_simulator", "schedule": 5.0, "options": {"expires": 30}},
}

# --- Identity ---------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "users.User"
AUTHENTICATION_BACKENDS = ["users.admin_auth.backends.RoleBackend"]
PASSWORD_HASHERS = (
    ["django.contrib.auth.hashers.MD5PasswordHasher"]
    if ENVIRONMENT == "test"
    else ["users.hashers.Argon2Hasher", "django.contrib.auth.hashers.ScryptPasswordHasher"]
)
PASSWORD_MIN_LENGTH = 15  # requirement 6, NIST SP 800-63B rev. 4: a password that stands alone
PASSWORD_MIN_LENGTH_WITH_SECOND_FACTOR = 8
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": PASSWORD_MIN_LENGTH},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCESS_TOKEN_LIFETIME = timedelta(minutes=10)
REFRESH_TOKEN_LIFETIME = timedelta(days=14)
SESSION_LIFETIME = timedelta(days=90)
EMAIL_TOKEN_LIFETIME = timedelta(hours=24)
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": ACCESS_TOKEN_LIFETIME,
    "ALGORITHM": "HS256",
    "SIGNING_KEY": JWT_SIGNING_KEY,
    "AUDIENCE": "fintech-core-api",
    "ISSUER": "fintech-core",
    "USER_ID_CLAIM": "sub",
    "JTI_CLAIM": "jti",
    "TOKEN_TYPE_CLAIM": None,
    "LEEWAY": 0,
}
# Whether staff get in only with a second factor. `check --deploy` refuses off, which also means that staff without an
# authenticator need no step-up codes.
STAFF_SECOND_FACTOR: bool = env.bool("STAFF_SECOND_FACTOR", default=not DEVELOPMENT)
# Staff log in again after this long without a sign of life, and after this long whatever they do (requirement 12).
ADMIN_IDLE = timedelta(minutes=15)
ADMIN_SESSION_LIFETIME = timedelta(hours=12)
# A sensitive action in the admin asks for the password and the second factor when they were given longer ago.
ADMIN_REAUTH_AFTER = timedelta(minutes=5)
EMAIL_VERIFICATION: bool = env.bool("EMAIL_VERIFICATION", default=True)
EMAIL_CONFIG = env.email_url("EMAIL_URL", default="consolemail://" if DEVELOPMENT else environ.Env.NOTSET)
vars().update(EMAIL_CONFIG)
EMAIL_TIMEOUT = 10  # seconds; a mail server that hangs must not hold a worker
DEFAULT_FROM_EMAIL: str = env.str("DEFAULT_FROM_EMAIL", default="Fintech Core <no-reply@localhost>")
# console (development) | smsru | none; tests keep them in memory. Test mode: numbers 79999XXXXXX have known codes.
SMS_PROVIDER: str = (
    "memory" if ENVIRONMENT == "test" else env.str("SMS_PROVIDER", default="console" if DEVELOPMENT else "none")
)
if SMS_PROVIDER not in {"console", "memory", "none", "smsru"}:
    raise ImproperlyConfigured("SMS_PROVIDER is console, smsru or none")
SMS_TEST_MODE: bool = env.bool("SMS_TEST_MODE", default=False)
SMSRU_API_ID: str = env.str("SMSRU_API_ID", default="")
SMSRU_FROM: str = env.str("SMSRU_FROM", default="")
SMSRU_URL: str = env.str("SMSRU_URL", default="https://sms.ru").rstrip("/")
# Against SMS pumping (messaging/services/sms_caps.py): regions (ISO 3166) that text messages go to; how many go out in
# all, and the part of these that is kept for the owners of proved numbers; how many others get from one network and to
# numbers that begin alike; how many one account causes in its sessions, and as many that are requested for it.
SMS_COUNTRIES: list[str] = env.list("SMS_COUNTRIES", default=["RU", "US"] if DEVELOPMENT else ["RU"])
SMS_MAX_PER_HOUR: int = env.int("SMS_MAX_PER_HOUR", default=1000)
SMS_MAX_PER_DAY: int = env.int("SMS_MAX_PER_DAY", default=5000)
SMS_MAX_PER_PREFIX_PER_HOUR: int = env.int("SMS_MAX_PER_PREFIX_PER_HOUR", default=60)
SMS_MAX_PER_PREFIX_PER_DAY: int = env.int("SMS_MAX_PER_PREFIX_PER_DAY", default=300)
SMS_MAX_PER_NETWORK_PER_DAY: int = env.int("SMS_MAX_PER_NETWORK_PER_DAY", default=50)
SMS_MAX_PER_ACCOUNT_PER_DAY: int = env.int("SMS_MAX_PER_ACCOUNT_PER_DAY", default=40)
SMS_PREFIX_DIGITS: int = env.int("SMS_PREFIX_DIGITS", default=7)
SMS_RESERVED_PERCENT: int = env.int("SMS_RESERVED_PERCENT", default=50)
# So many messages to one prefix in an hour whose codes were not entered raise an alarm.
SMS_UNCONFIRMED_ALARM: int = env.int("SMS_UNCONFIRMED_ALARM", default=20)
LOGIN_URL = reverse_lazy("admin:login")

# --- Limits (fintech_core/limits/ratelimit.py) ------------------------------------------------------------------------


def rate(text: str) -> tuple[int, int]:
    """`5/15m`: how many in how many seconds (s, m, h, d)."""
    parts = re.fullmatch(r"([1-9][0-9]{0,6})/([1-9][0-9]{0,3})?([smhd])", text, re.ASCII)
    if parts is None:
        raise ImproperlyConfigured(f"A rate is spelled like 30/m or 5/15m, not {text!r}")
    return int(parts[1]), int(parts[2] or 1) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[parts[3]]


# In development and tests all clients come from one address: ten times the rate per network.
RATE_LIMITS: dict[str, tuple[int, int]] = {
    "api_network": rate(env.str("RATE_LIMIT_API_NETWORK", default="60000/m" if DEVELOPMENT else "6000/m")),
    "api_principal": rate(env.str("RATE_LIMIT_API_PRINCIPAL", default="12000/m" if DEVELOPMENT else "1200/m")),
    "batch_items": rate(env.str("RATE_LIMIT_BATCH_ITEMS", default="60000/m" if DEVELOPMENT else "6000/m")),
    "log_in_network": rate(env.str("RATE_LIMIT_LOG_IN_NETWORK", default="300/m" if DEVELOPMENT else "30/m")),
    "register_network": rate(env.str("RATE_LIMIT_REGISTER_NETWORK", default="1000/h" if DEVELOPMENT else "100/h")),
    "send_network": rate(env.str("RATE_LIMIT_SEND_NETWORK", default="600/15m" if DEVELOPMENT else "60/15m")),
    "send_destination": rate(env.str("RATE_LIMIT_SEND_DESTINATION", default="5/15m")),
    "send_destination_hour": rate(env.str("RATE_LIMIT_SEND_DESTINATION_HOUR", default="10/h")),
    "send_destination_day": rate(env.str("RATE_LIMIT_SEND_DESTINATION_DAY", default="30/d")),
    "step_up": rate(env.str("RATE_LIMIT_STEP_UP", default="20/15m")),
    "verify_network": rate(env.str("RATE_LIMIT_VERIFY_NETWORK", default="300/m" if DEVELOPMENT else "30/m")),
}
# What a /48 of IPv6 may do in the place of the one /64 for which a limit per network is meant.
WIDE_NETWORK_FACTOR: int = env.int("WIDE_NETWORK_FACTOR", default=4)
# What networks that its owner hasn't logged in from may have sent to one address or number, in percent of the rates.
SEND_FOREIGN_PERCENT: int = env.int("SEND_FOREIGN_PERCENT", default=80)
# Wrong one-time codes in 24 hours per address or number, and wrong second factors per user (docs/security.md).
CODE_FAILURES_PER_DAY: int = env.int("CODE_FAILURES_PER_DAY", default=100)

# How long nothing is paid out to an account that an organization has just added.
PAYOUT_ACCOUNT_COOL_DOWN = timedelta(hours=env.int("PAYOUT_ACCOUNT_COOL_DOWN_HOURS", default=24))

# How long an invitation that is over (accepted, revoked, expired) keeps the address that it was sent to.
INVITATION_ADDRESS_RETENTION = timedelta(days=env.int("INVITATION_ADDRESS_RETENTION_DAYS", default=30))

# How long who was rejected for a tax number waits while another organization that was refused it has yet to submit it.
KYB_REJECTED_WAIT = timedelta(days=env.int("KYB_REJECTED_WAIT_DAYS", default=30))
# How long after one administrator removed or demoted another an organization can't be closed by those who are left.
CLOSE_AFTER_ADMIN_REMOVED = timedelta(days=env.int("CLOSE_AFTER_ADMIN_REMOVED_DAYS", default=7))

# --- Money ------------------------------------------------------------------------------------------------------------

CURRENCIES: list[str] = env.list("CURRENCIES", default=["USD", "EUR", "GBP", "RUB", "JPY", "KWD"])
DEFAULT_CURRENCY: str = env.str("DEFAULT_CURRENCY", default="USD")
# Lanes of each system account (docs/ledger.md, Vocabulary): more of them, less waiting on clearing and fee accounts.
LEDGER_LANES: int = env.int("LEDGER_LANES", default=8)
PAYMENT_GATEWAYS = ["simulator"]  # each has its clearing account, also while it is switched off
# How long a payment intent waits for its payer, and for the provider's word once the payer has decided. Afterwards it
# is canceled and keeps no wallet open; money that arrives nevertheless is booked.
PAYMENT_INTENT_LIFETIME = timedelta(hours=env.int("PAYMENT_INTENT_LIFETIME_HOURS", default=24))
PAYMENT_PROCESSING_LIFETIME = timedelta(hours=env.int("PAYMENT_PROCESSING_LIFETIME_HOURS", default=168))
# The KYC level that each gate asks for (users.enums.KycGate; docs/api-contract.md, KYC gates).
KYC_REQUIRED = {"deposit": 1, "transfer_out": 1, "payout": 2, "receive": 0, "kyb_submit": 1}
# How many payments a day a person may name a destination for that can't be paid, and all members of an organization
# together (payees.py).
UNKNOWN_PAYEES_PER_DAY: int = env.int("UNKNOWN_PAYEES_PER_DAY", default=50)
ORGANIZATION_UNKNOWN_PAYEES_PER_DAY: int = env.int("ORGANIZATION_UNKNOWN_PAYEES_PER_DAY", default=500)
# Retention of KYC and KYB data after a person was erased or an organization was closed (AMLD article 40:
# five years).
KYC_RETENTION = timedelta(days=env.int("KYC_RETENTION_DAYS", default=1827))
# Exchange: the platform's margin as a fraction, how long a quote is valid, how old a rate may be (weekends, holidays).
FX_SPREAD: str = env.str("FX_SPREAD", default="0.005")
# Of several sources with rates of one day the first one here wins; those that aren't here come after them.
FX_SOURCES: list[str] = env.list("FX_SOURCES", default=[])
FX_QUOTE_LIFETIME = timedelta(seconds=60)
FX_MAX_RATE_AGE = timedelta(days=5)
# Signs the seals: the base64 of 32 random bytes (an Ed25519 seed). Only who seals needs it (worker, `seal_ledger`); the
# web processes are better off without.
LEDGER_SEAL_KEY: str = env.str(
    "LEDGER_SEAL_KEY",
    default=base64.b64encode(hashlib.sha256(b"LEDGER_SEAL_KEY").digest()).decode()
    if DEVELOPMENT
    else (environ.Env.NOTSET if PROCESS_ROLE == "worker" else ""),
)
# Public halves (hex) of former keys, whose seals stay good; and of the current one where the key itself isn't given.
LEDGER_SEAL_PUBLIC_KEYS: list[str] = env.list("LEDGER_SEAL_PUBLIC_KEYS", default=[])
# Less than this leaves an owner's wallets in any 24 hours without a step-up code, all ways and currencies together (as
# shares of their thresholds). 0: every payment needs one. A currency that isn't named never does.
LARGE_TRANSFER_FROM: dict[str, str] = env.dict(
    "LARGE_TRANSFER_FROM",
    default={"USD": "10000", "EUR": "10000", "GBP": "10000", "RUB": "1000000", "JPY": "1500000", "KWD": "3000"},
)
FREEZE_BLOCKS_CREDITS: bool = env.bool("FREEZE_BLOCKS_CREDITS", default=False)

# --- Payments ---------------------------------------------------------------------------------------------------------

SIMULATOR_ENABLED: bool = env.bool("SIMULATOR_ENABLED", default=False)
SIMULATOR_WEBHOOK_SECRET: str = env.str(
    "SIMULATOR_WEBHOOK_SECRET",
    default="whsec_" + base64.b64encode(hashlib.sha256(SECRET_KEY.encode()).digest()).decode() if DEVELOPMENT else "",
)
# Accepted and never used to sign, as above.
SIMULATOR_WEBHOOK_PREVIOUS_SECRET: str = env.str("SIMULATOR_WEBHOOK_PREVIOUS_SECRET", default="")
SIMULATOR_WEBHOOK_URL: str = env.str(
    "SIMULATOR_WEBHOOK_URL", default=f"http://127.0.0.1:{env.int('PORT', default=8000)}/webhooks/v1/simulator"
)

# --- Reconciliation (docs/reconciliation.md) --------------------------------------------------------------------------

RECONCILE_DATE_WINDOW_DAYS: int = env.int("RECONCILE_DATE_WINDOW_DAYS", default=3)
# A line that is lower than its entry by at most this part of it is taken for one with the gateway's fee netted.
RECONCILE_FEE_TOLERANCE: str = env.str("RECONCILE_FEE_TOLERANCE", default="0.05")
# Differences up to this amount, per currency ("USD=0.05,EUR=0.05"), are posted without a person; "0" and absent: never.
RECONCILE_AUTO_POST_MAX: dict[str, str] = env.dict("RECONCILE_AUTO_POST_MAX", default={})
# The largest file of statements. Only those who may reconcile can send that much.
STATEMENT_MAX_BYTES: int = env.int("STATEMENT_MAX_BYTES", default=64 * 1024 * 1024)

# --- HTTP -------------------------------------------------------------------------------------------------------------

MAX_BODY_BYTES = 1024 * 1024
# The web server (fintech_core/ops/server.py): processes, threads of each. A request takes a thread once it is complete.
WEB_WORKERS: int = env.int("WEB_WORKERS", default=2)
WEB_THREADS: int = env.int("WEB_THREADS", default=8)
# Of each process (fintech_core/http/front): connections, requests that wait for a thread or have one, bodies in memory,
# answers in temporary files. What is over is refused (503) and, of connections, waits.
WEB_CONNECTIONS: int = env.int("WEB_CONNECTIONS", default=4096)
WEB_QUEUE: int = env.int("WEB_QUEUE", default=1000)
WEB_BODIES_BYTES: int = env.int("WEB_BODIES_BYTES", default=128 * 1024 * 1024)
WEB_ANSWERS_BYTES: int = env.int("WEB_ANSWERS_BYTES", default=512 * 1024 * 1024)
# Of requests, bodies and answers one network (an IPv4 address, a /48) may have one of so many parts.
WEB_NETWORK_PARTS: int = env.int("WEB_NETWORK_PARTS", default=4)
# Of the threads of each process: how many read files of statements (always fewer than there are), and make exports. An
# export counts for its user until it is sent.
WEB_UPLOADS: int = env.int("WEB_UPLOADS", default=2)
WEB_EXPORTS: int = env.int("WEB_EXPORTS", default=4)
WEB_EXPORTS_OF_ONE: int = env.int("WEB_EXPORTS_OF_ONE", default=1)
# Of each connection; granian's buffer grows by doubling, so headers of up to twice as much pass.
WEB_HEADER_BYTES = 64 * 1024
# The longest answer that is complete before it is sent. A longer one (a journal of large books) holds a thread while it
# is read; a statement for customers is never longer.
WEB_ANSWER_BYTES = 64 * 1024 * 1024
# How long a peer may take: for the headers (and between two requests), for the body and the answer with one second
# more for every so many bytes.
SLOW_HEADER_SECONDS: int = env.int("SLOW_HEADER_SECONDS", default=15)
SLOW_BODY_SECONDS: int = env.int("SLOW_BODY_SECONDS", default=10)
SLOW_ANSWER_SECONDS: int = env.int("SLOW_ANSWER_SECONDS", default=30)
SLOW_BYTES_PER_SECOND: int = env.int("SLOW_BYTES_PER_SECOND", default=64 * 1024)
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "users.authentication.AccessTokenAuthentication",
        "users.api_key_authentication.ApiKeyAuthentication",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["fintech_core.http.throttling.Throttle"],
    "DEFAULT_PERMISSION_CLASSES": ["fintech_core.security.permissions.HasAccess"],
    "DEFAULT_PARSER_CLASSES": ["fintech_core.http.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "fintech_core.http.parsers.JSONOnlyNegotiation",
    "DEFAULT_SCHEMA_CLASS": "fintech_core.http.schema.ProblemSchema",
    "EXCEPTION_HANDLER": "fintech_core.http.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%S.%fZ",
    "COERCE_DECIMAL_TO_STRING": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Fintech Core",
    "DESCRIPTION": "Wallets, payments and a double-entry ledger whose invariants the database enforces.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVERS": [{"url": "/", "description": "The server that this document comes from"}],
    "CONTACT": {"name": "Fintech Core"},
    "EXTERNAL_DOCS": {"description": "Every error code with its status and meaning", "url": "/api/errors"},
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "REDOC_UI_SETTINGS": {"theme": {"typography": {"fontFamily": "system-ui, sans-serif"}}},
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "COMPONENT_SPLIT_PATCH": False,  # what a PATCH needs, its input says itself
    "ENUM_NAME_OVERRIDES": {
        "CheckResult": "fintech_core.ops.health.CHECK_RESULTS",
        "Currency": "fintech_core.settings.CURRENCIES",
        "WalletStatus": "wallet.enums.WalletStatus",
        "TransactionStatus": "transactions.ledger.enums.TransactionStatus",
        "TransactionKind": "transactions.ledger.enums.TransactionKind",
        "HoldStatus": "transactions.ledger.enums.HoldStatus",
        "ExternalStatementFormat": "reconciliation.enums.StatementFormat",
        "StatementLineStatus": "reconciliation.enums.LineStatus",
        "BreakClass": "reconciliation.enums.BreakClass",
        "BreakStatus": "reconciliation.enums.BreakStatus",
        "BreakAction": "reconciliation.enums.BreakAction",
        "MonitorState": "transactions.monitors.enums.MonitorState",
        "MonitorCondition": "transactions.monitors.enums.MonitorCondition",
        "EntryDirection": "transactions.ledger.enums.Direction",
        "ScheduleStatus": "transactions.schedules.enums.ScheduleStatus",
        "ScheduledRunStatus": "transactions.schedules.enums.RunStatus",
        "Frequency": "transactions.schedules.enums.Frequency",
        "BusinessDayRule": "transactions.schedules.enums.BusinessDayRule",
        "IntentStatus": "payments.enums.IntentStatus",
        "SubmissionStatus": "compliance.enums.SubmissionStatus",
        "KycStatus": "users.enums.KycStatus",
        "Role": "users.enums.Role",
        "KybStatus": "organizations.enums.KybStatus",
        "MemberRole": "organizations.enums.MemberRole",
        "InvitationStatus": "organizations.enums.InvitationStatus",
        "PayoutMethod": "organizations.enums.PayoutMethod",
        "RegistrationStatus": "users.enums.RegistrationStatus",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "fintech_core.http.schema.add_error_codes",
        "fintech_core.http.schema_texts.add_texts",
    ],
}

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_ALLOW_ALL_ORIGINS = False  # pages of other sites have no use for our files
WHITENOISE_USE_FINDERS = True  # a checkout serves its assets without collectstatic
WHITENOISE_AUTOREFRESH = ENVIRONMENT == "test"  # looks files up when asked: each test client would index them all

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = False

HTTPS: bool = env.bool("HTTPS", default=not DEVELOPMENT)
SECURE_SSL_REDIRECT = HTTPS
# Set by the proxy in front, which must strip the client's own (docs/deployment.md, Proxy); empty: none is.
TRUSTED_PROXY_PROTO_HEADER: str = env.str("TRUSTED_PROXY_PROTO_HEADER", default="")
SECURE_PROXY_SSL_HEADER = (TRUSTED_PROXY_PROTO_HEADER, "https") if TRUSTED_PROXY_PROTO_HEADER else None
# Likewise the header with the client's address, one address and nothing else. Empty: the peer counts.
TRUSTED_PROXY_ADDRESS_HEADER: str = env.str("TRUSTED_PROXY_ADDRESS_HEADER", default="")
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^health$", r"^ready$", r"^api/health$"]
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = HTTPS
SESSION_COOKIE_NAME = "__Host-sessionid" if HTTPS else "sessionid"
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
# Not the cookie of its own that Django would use first.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
CSRF_COOKIE_SECURE = HTTPS
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_NAME = "__Host-csrftoken" if HTTPS else "csrftoken"
CSRF_TRUSTED_ORIGINS: list[str] = [PUBLIC_URL]
CSRF_FAILURE_VIEW = "fintech_core.http.problems.csrf_failure"
X_FRAME_OPTIONS = "DENY"
# Of the admin and of the API's documentation; ContentSecurityMiddleware says which answer gets which policy.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        # Unfold's admin needs both; Swagger UI and Redoc start from an inline script.
        "script-src": ["'self'", "'unsafe-eval'", "'unsafe-inline'"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:"],
        "worker-src": ["'self'", "blob:"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
CSP_OF_PAGES = {
    "default-src": ["'none'"],
    "style-src": ["'self'", "'unsafe-inline'"],  # the checkout page carries its own
    "img-src": ["'self'", "data:"],
    "base-uri": ["'none'"],
    "frame-ancestors": ["'none'"],
}
CSP_OF_ANSWERS = {"default-src": ["'none'"], "frame-ancestors": ["'none'"]}
UNFOLD = {"SITE_TITLE": "Fintech Core", "SITE_HEADER": "Fintech Core", "SHOW_HISTORY": False}

# --- Logs -------------------------------------------------------------------------------------------------------------

LOG_FORMAT: str = env.str("LOG_FORMAT", default="console" if DEVELOPMENT else "json")
LOG_LEVEL: str = env.str("LOG_LEVEL", default="INFO")
LOGGING_CONFIG = "fintech_core.ops.logging_config.configure"
LOGGING = {"format": LOG_FORMAT, "level": LOG_LEVEL}

# The address that people log in with is encrypted; its blind index is what is unique, and our own backend finds by it.
SILENCED_SYSTEM_CHECKS = ["auth.W004"]
