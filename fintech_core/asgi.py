"""ASGI entry point, which is what the product is served by: the front around the WSGI application.

Only a request that is complete takes a thread. `python -m fintech_core.ops.server` serves it with granian.
"""

import threading

from django.conf import settings

from fintech_core.http.front import Front, Limits
from fintech_core.http.front.pace import Pace
from fintech_core.http.front.sockets import end_stalled_connections
from fintech_core.wsgi import application as wsgi_application

# isort: split
# Which has made the applications ready. Every view is loaded before the first request.
from fintech_core import urls  # noqa: F401
from fintech_core.http import api_documents, client_address

application = Front(
    wsgi_application,
    Limits(
        threads=settings.WEB_THREADS,
        queue=settings.WEB_QUEUE,
        whole_body=settings.MAX_BODY_BYTES,
        bodies=settings.WEB_BODIES_BYTES,
        spool=settings.WEB_ANSWER_BYTES,
        answers=settings.WEB_ANSWERS_BYTES,
        live=min(settings.WEB_UPLOADS, settings.WEB_THREADS - 1),
        parts=settings.WEB_NETWORK_PARTS,
        body_pace=Pace(settings.SLOW_BODY_SECONDS, settings.SLOW_BYTES_PER_SECOND),
        answer_pace=Pace(settings.SLOW_ANSWER_SECONDS, settings.SLOW_BYTES_PER_SECOND),
    ),
    network_of=client_address.whole_network_in,
    at_first=lambda: end_stalled_connections(settings.SLOW_ANSWER_SECONDS),
)

# The one document that takes a second. Requests that come first wait for it.
threading.Thread(target=api_documents.SCHEMAS.all, name="schema", daemon=True).start()
