#!/usr/bin/env bash
# Becomes one role of the product once the database answers: web | worker | beat | migrate; else a manage.py command.
set -euo pipefail

role=${1:-web}

wait_for_database() {
    python - <<'PYTHON'
import os
import sys
import time

import psycopg

migrates = os.environ["PROCESS_ROLE"] == "command"
url = (migrates and os.environ.get("DATABASE_OWNER_URL")) or os.environ["DATABASE_URL"]
deadline = time.monotonic() + 60
while True:
    try:
        psycopg.connect(url, connect_timeout=3).close()
        break
    except psycopg.OperationalError as error:
        if time.monotonic() > deadline:
            sys.exit(f"The database does not answer: {error}")
        time.sleep(1)
PYTHON
}

# In production nothing is served with known keys, in clear or with debug pages: errors of the deployment checks stop the
# container, warnings are printed (docs/deployment.md, Checks and alarms).
refuse_bad_settings() {
    if [ "${ENVIRONMENT:-production}" = production ]; then
        python manage.py check --deploy --tag security
    fi
}

# As one of the hosts that are served: any other is refused before it reaches /health.
ask_health() {
    exec python - <<'PYTHON'
import os
import urllib.request

host = os.environ["ALLOWED_HOSTS"].split(",")[0].strip().lstrip(".").replace("*", "localhost")
request = urllib.request.Request(f"http://127.0.0.1:{os.environ['PORT']}/health", headers={"Host": host})
urllib.request.urlopen(request, timeout=2)
PYTHON
}

case "$role" in
web)
    export PROCESS_ROLE=web
    refuse_bad_settings
    wait_for_database
    exec python -m fintech_core.ops.server --host 0.0.0.0 --port "${PORT:-8000}"
    ;;
worker)
    export PROCESS_ROLE=worker
    refuse_bad_settings
    wait_for_database
    exec celery --quiet -A fintech_core worker --loglevel INFO --concurrency "${WORKER_PROCESSES:-2}" \
        --without-gossip --without-mingle
    ;;
beat)
    # Exactly one of these, ever.
    export PROCESS_ROLE=worker
    refuse_bad_settings
    wait_for_database
    exec celery --quiet -A fintech_core beat --loglevel INFO --schedule /tmp/celerybeat-schedule --pidfile=
    ;;
migrate)
    export PROCESS_ROLE=command
    wait_for_database
    python manage.py setup_database_roles
    exec python manage.py migrate --noinput
    ;;
healthcheck)
    ask_health
    ;;
*)
    export PROCESS_ROLE=command
    exec python manage.py "$@"
    ;;
esac
