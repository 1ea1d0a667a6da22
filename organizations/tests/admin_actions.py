"""An action of the admin on an organization."""

from typing import Any

from django.contrib.messages import get_messages
from django.test import Client


def act(client: Client, model: str, action: str, row: Any, reason: str = "Looked at the register.") -> list[str]:
    data = {"action": action, "_selected_action": [str(row.pk)], "reason_confirmed": "yes", "reason": reason}
    response = client.post(f"/admin/organizations/{model}/", data)
    assert response.status_code == 302, response.content
    return [str(message) for message in get_messages(response.wsgi_request)]
