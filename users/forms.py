"""Forms of the admin. Django's own would write the user by itself: no audit row, sessions of the API left alive."""

from typing import Any

from django.core.validators import MaxLengthValidator
from unfold.forms import AdminOwnPasswordChangeForm

from fintech_core import clock
from fintech_core.db import unit_of_work
from users import services
from users.authentication import actor_of_user, current_request_id
from users.credentials import MAX_PASSWORD_LENGTH
from users.models import User


class OwnPasswordForm(AdminOwnPasswordChangeForm):
    """A member of staff changes the own password, which ends the own sessions."""

    user: User

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self.fields["new_password1"].validators.append(MaxLengthValidator(MAX_PASSWORD_LENGTH))

    def save(self, commit: bool = True) -> User:  # noqa: FBT001, FBT002 - Django's signature
        """Through the service, whatever `commit` says: there is no half of it."""
        actor = actor_of_user(user=self.user, request_id=current_request_id())
        changed = unit_of_work(
            lambda: services.set_password(
                actor=actor, user_id=self.user.pk, password=self.cleaned_data["new_password1"], now=clock.now()
            )
        )
        self.user.password = changed.password
        return self.user
