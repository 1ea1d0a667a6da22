"""Accounts of a whole running product."""

import uuid

import httpx

PASSWORD, WRONG = "correct horse battery staple", "not the password at all"


def token_of_somebody_new(web: httpx.Client) -> tuple[str, str]:
    """The address and the access token of a customer who has just registered."""
    email = f"{uuid.uuid4().hex}@customer.example"
    assert web.post("/auth/register", json={"email": email, "password": PASSWORD}).status_code == 201
    answer = web.post("/auth/token", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 200
    return email, answer.json()["access"]
