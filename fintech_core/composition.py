"""The composition root's part of the wiring: which functions of higher rooms lower rooms call (wiring.py).

It also loads every module of services: the list of error codes (`exceptions.error_classes`) holds the classes that are
loaded, and must not depend on which views and commands happen to be.
"""

from importlib import import_module
from pathlib import Path

from fintech_core.rooms import ROOMS
from fintech_core.values.messages import MessageRule
from fintech_core.wiring import Wiring
from organizations.locks import lock_open_organization
from organizations.roles import MEMBER_CAPABILITIES
from organizations.selectors import acting_in
from organizations.services import end_invitations_of, invitation_content, refuse_without_an_admin
from transactions.holds.selectors import held_by_due_holds
from transactions.monitors.evaluation import evaluate_monitors
from users import log_in
from users.admin_auth import reauthentication
from users.admin_auth.middleware import actor_of_request
from users.locks import lock_living_user
from users.selectors import is_familiar_to_phone, user_id_by_phone
from users.services import step_up
from users.services.message_rules import RULES

WIRING = Wiring(
    confirm_step_up=log_in.confirm_step_up,
    spend_step_up_of_staff=step_up.spend_for_staff,
    actor_of_admin_request=actor_of_request,
    reauthentication_form=reauthentication.form_for,
    member_capabilities={role.value: capabilities for role, capabilities in MEMBER_CAPABILITIES.items()},
    outbox_consumers={},
    held_by_due_holds=held_by_due_holds,
    lock_living_user=lock_living_user,
    lock_open_organization=lock_open_organization,
    message_rules={**RULES, "organization_invitation": MessageRule(content=invitation_content)},
    user_id_by_phone=user_id_by_phone,
    is_familiar_to_phone=is_familiar_to_phone,
    acting_in=acting_in,
    end_invitations_of=end_invitations_of,
    run_deactivation_guards=refuse_without_an_admin,
    available_changed=evaluate_monitors,
)


def load_services() -> None:
    """Import every module named `services`, or below a package of this name, of every room."""
    root = Path(__file__).resolve().parent.parent
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            if "services" in parts and "tests" not in parts:
                import_module(".".join(parts).removesuffix(".__init__"))
