"""Argon2id at OWASP's parameters (Password Storage Cheat Sheet): 19 MiB, 2 passes, 1 lane.

Django's own default takes 100 MiB and 8 lanes per log-in, which a small machine can't give to many at once.
"""

from django.contrib.auth.hashers import Argon2PasswordHasher


class Argon2Hasher(Argon2PasswordHasher):
    time_cost = 2
    memory_cost = 19_456
    parallelism = 1
