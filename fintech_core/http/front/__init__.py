"""The HTTP front: an ASGI application that runs the WSGI application in threads, and lets no slow peer hold one.

A request takes a thread once all of its body is here, and gives it back once the answer is complete. What the network
does meanwhile, the event loop waits for, with deadlines (`pace`). What is kept meanwhile has budgets, and one network
may use a part of each: so the slow requests of a network don't matter to the others.

- `environ`: what the WSGI application gets to know of a request. Header names with underscores are dropped here.
- `bodies`: how a body is read.
- `answers`: how an answer is kept until it is sent, and sent.
- `sockets`: how a connection ends whose peer has stopped reading.

It knows nothing of the product: refusals of what is wrong with a request are answered by the application.
"""

from fintech_core.http.front.answers import SHARED
from fintech_core.http.front.application import AFTER_ANSWER, REFUSAL, Front, Limits, Refusal
from fintech_core.http.front.bodies import NoPlace

__all__ = ["AFTER_ANSWER", "REFUSAL", "SHARED", "Front", "Limits", "NoPlace", "Refusal"]
