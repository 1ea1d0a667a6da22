# The product for production: no embedded servers, no tests. One image, four roles (entrypoint.sh): web, worker, beat, migrate.

FROM python:3.12-slim AS packages
WORKDIR /build
COPY requirements.txt .
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt

FROM python:3.12-slim
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PORT=8000
RUN useradd --system --user-group --no-create-home --uid 10001 fintech
WORKDIR /app
COPY --from=packages /opt/venv /opt/venv
COPY . .
# Only collects files: the settings of the test environment need neither a secret nor a server.
RUN ENVIRONMENT=test python manage.py collectstatic --noinput
USER fintech
EXPOSE 8000
# /health does no I/O; only the web role listens, so the other roles switch this off (docker-compose.yml).
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["./entrypoint.sh", "healthcheck"]
ENTRYPOINT ["./entrypoint.sh"]
CMD ["web"]
