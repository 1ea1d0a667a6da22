"""Every way to change a credential, by everything that may be open of the person: what ends and what stays.

What is expected is read from the table in docs/security.md (Changes of credentials), so that the two can't differ.
Which ways there are is read from the code: each function that writes a credential has to be among them.
"""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import pytest
from django.core import mail

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.security import crypto
from fintech_core.security.actors import Actor
from messaging import tasks
from messaging.enums import MessageState
from messaging.models import Message
from messaging.services.delivery import prepare_message
from organizations import services as organizations
from organizations.enums import InvitationStatus, MemberRole
from organizations.models import Invitation, OrganizationMember
from organizations.tests.factories import member_actor, organization_of
from tests.cast import PASSWORD, SYSTEM, actor_for, customer, staff, with_personal
from tests.open_credentials import NEW_PASSWORD, ROOT, called, confirmation, digits_of, newest_message, session_of
from users import services
from users.enums import CodePurpose, Role
from users.locks import lock_user
from users.models import ApiKey, Session, StepUpChallenge, TotpDevice, User
from users.selectors import is_familiar_network, live_session
from users.services import (
    accounts,
    code_log_ins,
    codes,
    contacts,
    enrolment,
    lockout,
    log_in_methods,
    passwords,
    revocation,
    step_up,
)
from users.tests.authenticators import code_of
from users.tests.helpers import mailed_token

pytestmark = pytest.mark.django_db
EMAIL, NEW_EMAIL = "carol@customer.example", "carol.new@customer.example"
PHONE, NEW_PHONE = "+79161234567", "+79167654321"
HOME, OFFICE = crypto.keyed_digest("network", "192.0.2.1"), crypto.keyed_digest("network", "192.0.2.2")
COLUMNS = (
    "the session in which it is changed",
    "other sessions",
    "other familiar networks",
    "API keys",
    "links, codes, confirmations",
    "invitations sent",
    "invitations received",
)


# --- The world: carol with everything open ----------------------------------------------------------------------------


@dataclass
class World:
    """Carol, what is open of hers, and the means to change her credentials."""

    carol: User
    here: Session
    other: Session
    reset_token: str
    digits: dict[CodePurpose, str]
    sent: Invitation
    received: Invitation
    admin: Actor
    stranger: User
    messages: dict[str, Message] = field(default_factory=dict)

    @property
    def actor(self) -> Actor:
        """Carol in her session, with a code that was confirmed for this request."""
        confirmed = self._confirmation().pk
        return replace(actor_for(self.carol), credential_id=self.here.pk, step_up_id=confirmed, network=HOME)

    def _confirmation(self) -> StepUpChallenge:
        return confirmation(self.carol, self.here)

    def device(self) -> TotpDevice:
        return TotpDevice.objects.get(user=self.carol, confirmed=True)


@pytest.fixture
def world() -> World:
    """What is open is opened by the real services; messages wait in the queue."""
    carol = with_personal(customer("carol"), phone=PHONE, phone_verified_at=clock.now(), role=Role.AGENCY_ADMIN)
    acme, evil = organization_of(carol), organization_of(customer("mallory"), "Evil Inc")
    bob = customer("bob")
    OrganizationMember.objects.create(organization=acme, user=bob, role=MemberRole.ADMIN, created_at=clock.now())
    unit_of_work(lambda: services.provision_second_factor(actor=SYSTEM, user_id=carol.pk, now=clock.now()))
    asked = unit_of_work(lambda: passwords.request_reset(actor=SYSTEM, email=EMAIL, now=clock.now()))
    assert asked.expires_in
    tasks.send_message(str(newest_message("password_reset", "email").pk))
    token = mailed_token()
    mallory = OrganizationMember.objects.get(organization=evil).user

    def invite(by: User, organization: Any, email: str) -> Invitation:
        return unit_of_work(
            lambda: organizations.create_invitation(
                actor=member_actor(by, organization),
                organization_id=organization.pk,
                email=email,
                role=MemberRole.VIEWER,
                now=clock.now(),
            )
        )

    own = actor_for(carol)
    unit_of_work(lambda: services.start_enrolment(actor=own, user_id=carol.pk))
    unit_of_work(lambda: services.create_api_key(actor=own, name="tests", scopes=["wallets:read"]))
    sent, sent_mail = invite(carol, acme, "eve@stranger.example"), newest_message("organization_invitation", "email")
    received = invite(mallory, evil, EMAIL)
    made = World(
        carol,
        session_of(carol),
        session_of(carol),
        token,
        {},
        sent,
        received,
        actor_for(staff(Role.ADMIN)),
        customer("frank"),
    )
    made.messages = {
        "invitation sent": sent_mail,
        "invitation received": newest_message("organization_invitation", "email"),
    }
    for network in (HOME, OFFICE):
        lockout.remember_network(actor=replace(own, network=network), user_id=carol.pk)
    _ask_for_codes(made)
    return made


def _ask_for_codes(world: World) -> None:
    own = actor_for(world.carol)  # without a credential: nothing has to be confirmed
    in_session = replace(own, credential_id=world.here.pk)
    for name, purpose, template, kind, ask in (
        ("mail code", CodePurpose.CLIENT_LOG_IN, "log_in_code", "email",
         lambda: code_log_ins.send_client_code(actor=SYSTEM, email=EMAIL)),
        ("text code", CodePurpose.AGENT_LOG_IN, "log_in_code", "sms",
         lambda: code_log_ins.send_agent_code(actor=SYSTEM, phone=PHONE)),
        ("address code", CodePurpose.EMAIL_CHANGE, "contact_code", "email",
         lambda: contacts.send_email_code(actor=own, email=NEW_EMAIL)),
        ("number code", CodePurpose.PHONE_CHANGE, "contact_code", "sms",
         lambda: contacts.send_phone_code(actor=own, phone=NEW_PHONE)),
        ("step-up code", CodePurpose.STEP_UP, "step_up", "email",
         lambda: step_up.begin(actor=in_session, fingerprint=b"x" * 32, title="A transfer", payment="1 USD")),
        ("reset", None, "password_reset", "email",
         lambda: passwords.request_reset(actor=SYSTEM, email=EMAIL, now=clock.now())),
    ):  # fmt: skip
        unit_of_work(ask)
        world.messages[name] = newest_message(template, kind)
        if purpose is not None:
            world.digits[purpose] = digits_of(world.messages[name])
    confirmation(world.carol, world.here)


# --- What is open, by column of the table -----------------------------------------------------------------------------


def code_is_good(world: World, purpose: CodePurpose) -> bool:
    kind, text = {
        CodePurpose.CLIENT_LOG_IN: ("email", EMAIL),
        CodePurpose.AGENT_LOG_IN: ("phone", PHONE),
    }.get(purpose, ("user", str(world.carol.pk)))
    return codes.still_good(purpose=purpose, subject=codes.subject_of(kind, text), code=world.digits[purpose])


def would_be_sent(world: World, name: str) -> bool:
    message = world.messages[name]
    return unit_of_work(lambda: prepare_message(message_id=message.pk, now=clock.now())) is not None


def is_open(invitation: Invitation) -> bool:
    return Invitation.objects.get(pk=invitation.pk).status_at(clock.now()) == InvitationStatus.OPEN


def what_is_open(world: World) -> dict[str, dict[str, bool]]:
    """By column: each thing, and whether it is still good."""
    waiting = StepUpChallenge.objects.filter(user=world.carol, spent_at__isnull=True)
    links = {
        "reset link": passwords.user_id_by_reset_token(token=world.reset_token) is not None,
        "enrolment": TotpDevice.objects.filter(user=world.carol, confirmed=False).exists(),
        "confirmation, passed": waiting.filter(passed_at__isnull=False).exists(),
        "confirmation, begun": waiting.filter(passed_at__isnull=True).exists(),
        **{purpose.value: code_is_good(world, purpose) for purpose in CodePurpose},
        **{f"message: {name}": would_be_sent(world, name) for name in world.messages if "invitation" not in name},
    }
    alive = [live_session(session_id=one.pk, user_id=world.carol.pk) is not None for one in (world.here, world.other)]
    return {
        COLUMNS[0]: {"session": alive[0]},
        COLUMNS[1]: {"session": alive[1]},
        COLUMNS[2]: {"network": is_familiar_network(user_id=world.carol.pk, network=OFFICE)},
        COLUMNS[3]: {"key": ApiKey.objects.filter(user=world.carol, revoked_at__isnull=True).exists()},
        COLUMNS[4]: links,
        COLUMNS[5]: {"invitation": is_open(world.sent), "message": would_be_sent(world, "invitation sent")},
        COLUMNS[6]: {"invitation": is_open(world.received), "message": would_be_sent(world, "invitation received")},
    }


# --- The ways ---------------------------------------------------------------------------------------------------------


def change_password(world: World) -> None:
    actor = world.actor
    passwords.change_password(actor=actor, current_password=PASSWORD, new_password=NEW_PASSWORD)


def reset_password(world: World) -> None:
    device = world.device()
    otp = code_of(device.secret, clock.now())
    passwords.confirm_reset(actor=SYSTEM, token=world.reset_token, password=NEW_PASSWORD, otp=otp)


def set_by_command(world: World) -> None:
    services.set_password(actor=SYSTEM, user_id=world.carol.pk, password=NEW_PASSWORD, now=clock.now())


def adopt(world: World) -> None:
    """A registration of the address, which the account never proved, is proved."""
    with_personal(world.carol, email_verified_at=None)
    accounts.adopt_unverified(
        actor=SYSTEM, user=world.carol, password_hash="!x", phone=None, first_name="", last_name="", now=clock.now()
    )


def change_email(world: World) -> None:
    contacts.verify_email(actor=world.actor, email=NEW_EMAIL, code=world.digits[CodePurpose.EMAIL_CHANGE])


def change_phone(world: World) -> None:
    contacts.verify_phone(actor=world.actor, phone=NEW_PHONE, code=world.digits[CodePurpose.PHONE_CHANGE])


def add_email(world: World) -> None:
    with_personal(world.carol, email_verified_at=None)
    change_email(world)


def add_phone(world: World) -> None:
    with_personal(world.carol, phone_verified_at=None)
    change_phone(world)


def give_phone_up(world: World) -> None:
    services.update_profile(
        actor=world.actor, user_id=world.carol.pk, changes={"phone": "+79160000000"}, now=clock.now()
    )


def evict(world: World) -> None:
    """Another person proves an address that the account never proved."""
    with_personal(world.carol, email_verified_at=None)
    frank = world.stranger
    digits: list[str] = []
    codes.issue(
        actor=SYSTEM,
        purpose=CodePurpose.EMAIL_CHANGE,
        subject=codes.subject_of("user", str(frank.pk)),
        binding=crypto.keyed_digest("code-binding:contact", EMAIL),
        deliver=digits.append,
    )
    contacts.verify_email(actor=actor_for(frank), email=EMAIL, code=digits[0])


def confirm_enrolment(world: World) -> None:
    started = TotpDevice.objects.get(user=world.carol, confirmed=False)
    enrolment.confirm_enrolment(actor=world.actor, user_id=world.carol.pk, code=code_of(started.secret, clock.now()))


def remove_factor(world: World) -> None:
    services.remove_second_factor(actor=world.actor, user_id=world.carol.pk)


def renew_codes(world: World) -> None:
    services.renew_recovery_codes(actor=world.actor, user_id=world.carol.pk)


def reset_factor(world: World) -> None:
    services.reset_second_factor(actor=world.admin, user_id=world.carol.pk, reason="lost", now=clock.now())


def provision_factor(world: World) -> None:
    services.provision_second_factor(actor=SYSTEM, user_id=world.carol.pk, now=clock.now())


def no_mailed_codes(world: World) -> None:
    log_in_methods.set_email_code_log_in(actor=world.actor, enabled=False)


def mailed_codes(world: World) -> None:
    with_personal(world.carol, email_code_log_in=False)
    log_in_methods.set_email_code_log_in(actor=world.actor, enabled=True)


def change_staff_role(world: World) -> None:
    with_personal(world.carol, role=Role.OPERATOR)
    services.set_role(actor=world.admin, user_id=world.carol.pk, role=Role.AUDITOR, now=clock.now())


def gain_role(world: World) -> None:
    with_personal(world.carol, role=Role.CLIENT)
    services.set_customer_role(actor=world.actor, user_id=world.carol.pk, role=Role.AGENCY_ADMIN, now=clock.now())


def be_given_role(world: World) -> None:
    with_personal(world.carol, role=Role.CLIENT)
    services.set_customer_role(actor=world.admin, user_id=world.carol.pk, role=Role.AGENCY_ADMIN, now=clock.now())


def be_made_admin(world: World) -> None:
    with_personal(world.carol, role=Role.CLIENT)
    member = actor_for(world.stranger)
    services.set_customer_role(actor=member, user_id=world.carol.pk, role=Role.AGENCY_ADMIN, now=clock.now())


def lose_role(world: World) -> None:
    services.set_customer_role(actor=world.actor, user_id=world.carol.pk, role=Role.CLIENT, now=clock.now())


def be_made_client(world: World) -> None:
    member = actor_for(world.stranger)
    services.set_customer_role(actor=member, user_id=world.carol.pk, role=Role.CLIENT, now=clock.now())


def deactivate(world: World) -> None:
    services.deactivate_user(actor=world.admin, user_id=world.carol.pk, reason="asked", now=clock.now())


def erase(world: World) -> None:
    locked = lock_user(world.carol.pk)
    organizations.forget_invitations(user=locked, now=clock.now())
    services.erase_person(actor=SYSTEM, user=locked, now=clock.now())


def end_sessions(world: World) -> None:
    services.end_sessions(actor=world.admin, user_id=world.carol.pk, reason="asked", now=clock.now())


def log_out_everywhere(world: World) -> None:
    services.log_out_everywhere(actor=world.actor, now=clock.now())


@dataclass(frozen=True)
class Way:
    """`row` is its label in the docs, `by` what writes the credential, `others` isn't carol's and isn't looked at."""

    row: str
    change: Callable[[World], None]
    by: frozenset[Any]
    others: frozenset[str] = frozenset()


# An address or number that the account never proved isn't its own, and neither are the codes that go there to log in.
NOT_ITS_ADDRESS = frozenset({CodePurpose.CLIENT_LOG_IN.value, "message: mail code"})
NOT_ITS_NUMBER = frozenset({CodePurpose.AGENT_LOG_IN.value, "message: text code"})
ROLE_OF_CUSTOMER = frozenset({accounts.set_customer_role})
WAYS = [
    Way("password changed", change_password, frozenset({accounts.set_password})),
    Way("password reset", reset_password, frozenset({accounts.set_password})),
    Way("password set by a command", set_by_command, frozenset({accounts.set_password})),
    Way("unproved address proved by a registration", adopt, frozenset({accounts.adopt_unverified})),
    Way("unproved address proved by another account", evict, frozenset({contacts._evict}), NOT_ITS_ADDRESS),
    Way("address replaced", change_email, frozenset({contacts.verify_email})),
    Way("number replaced", change_phone, frozenset({contacts.verify_phone})),
    Way("number given up", give_phone_up, frozenset({accounts.update_profile})),
    Way("first address proved", add_email, frozenset({contacts.verify_email}), NOT_ITS_ADDRESS),
    Way("first number proved", add_phone, frozenset({contacts.verify_phone}), NOT_ITS_NUMBER),
    Way("second factor enrolled", confirm_enrolment, frozenset({enrolment._end_others})),
    Way("second factor removed", remove_factor, frozenset({enrolment._end_others})),
    Way("recovery codes renewed", renew_codes, frozenset({enrolment._end_others})),
    Way("second factor reset by an administrator", reset_factor, frozenset({enrolment._end_others})),
    Way("second factor provisioned by a command", provision_factor, frozenset({enrolment._end_others})),
    Way("log-in by mailed codes switched off", no_mailed_codes, frozenset({log_in_methods.set_email_code_log_in})),
    Way("log-in by mailed codes switched on", mailed_codes, frozenset({log_in_methods.set_email_code_log_in})),
    Way("role of staff changed", change_staff_role, frozenset({accounts.set_role})),
    Way("agency admin by an act of one's own", gain_role, ROLE_OF_CUSTOMER),
    Way("agency admin by staff", be_given_role, ROLE_OF_CUSTOMER),
    Way("agency admin by another member", be_made_admin, ROLE_OF_CUSTOMER),
    Way("agency admin no longer, by an act of one's own or by staff", lose_role, ROLE_OF_CUSTOMER),
    Way("agency admin no longer, by another member", be_made_client, ROLE_OF_CUSTOMER),
    Way("account deactivated", deactivate, frozenset({accounts.deactivate_user})),
    Way("person erased", erase, frozenset({services.erase_person})),
    Way("sessions ended by an administrator", end_sessions, frozenset({revocation._end_sessions})),
    Way("logged out everywhere", log_out_everywhere, frozenset({revocation._end_sessions})),
]


def documented() -> dict[str, dict[str, bool]]:
    """The table of docs/security.md: by row and column, whether it stays."""
    text = (ROOT / "docs" / "security.md").read_text()
    section = text.partition("## Changes of credentials")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    header, _, *body = rows
    assert tuple(header[1:]) == COLUMNS
    assert {cell for row in body for cell in row[1:]} == {"ends", "stays"}
    return {row[0]: {name: cell == "stays" for name, cell in zip(COLUMNS, row[1:], strict=True)} for row in body}


def test_everything_is_open_before(world: World) -> None:
    assert [thing for things in what_is_open(world).values() for thing, good in things.items() if not good] == []


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.row)
def test_a_changed_credential_ends_what_the_table_says(way: Way, world: World) -> None:
    expected = documented()[way.row]

    unit_of_work(lambda: way.change(world))

    found = what_is_open(world)
    wrong = [
        (column, thing, "stays" if good else "ends")
        for column, things in found.items()
        for thing, good in things.items()
        if thing not in way.others and good is not expected[column]
    ]
    assert wrong == []


OF_ONES_OWN = [way for way in WAYS if documented()[way.row][COLUMNS[0]]] + WAYS[:1]


@pytest.mark.parametrize("way", OF_ONES_OWN, ids=lambda way: way.row)
def test_the_network_of_who_makes_the_change_stays_familiar(way: Way, world: World) -> None:
    unit_of_work(lambda: way.change(world))

    assert is_familiar_network(user_id=world.carol.pk, network=HOME)


def test_a_change_by_others_forgets_the_network_that_they_are_in(world: World) -> None:
    world.admin = replace(world.admin, network=HOME)

    unit_of_work(lambda: reset_factor(world))

    assert not is_familiar_network(user_id=world.carol.pk, network=HOME)


def test_a_reset_that_was_requested_while_a_change_waited_for_its_lock_is_not_mailed(world: World) -> None:
    before_the_lock = clock.now()
    unit_of_work(lambda: passwords.request_reset(actor=SYSTEM, email=EMAIL, now=clock.now()))
    waiting = newest_message("password_reset", "email")
    mail.outbox.clear()

    unit_of_work(
        lambda: services.end_sessions(actor=world.admin, user_id=world.carol.pk, reason="asked", now=before_the_lock)
    )
    tasks.send_message(str(waiting.pk))

    waiting.refresh_from_db()
    assert (waiting.state, mail.outbox) == (MessageState.WITHHELD, [])


def test_the_table_names_every_way_once() -> None:
    assert list(documented()) == [way.row for way in WAYS]


# --- No way is forgotten ----------------------------------------------------------------------------------------------

TIMES = {"email_verified_at", "phone_verified_at"}
CREDENTIALS = {"password", "email", "phone", "role", "is_active", "email_code_log_in"} | TIMES
MAKES_ACCOUNTS = {"create_customer_with_hash", "create_agent", "create_staff"}  # nothing is open of a new account


@cache
def functions(package: str) -> list[tuple[str, ast.FunctionDef]]:
    return [
        (f"{path.stem}.{node.name}", node)
        for path in sorted((ROOT / package).glob("*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
    ]


def written(function: ast.FunctionDef) -> set[str]:
    """Attributes that are assigned, and names that are set by setattr or saved as update_fields of a user."""
    targets = [node.targets for node in ast.walk(function) if isinstance(node, ast.Assign)]
    flat = [part for group in targets for target in group for part in ast.walk(target)]
    return {part.attr for part in flat if isinstance(part, ast.Attribute)} & CREDENTIALS


def test_every_write_of_a_credential_ends_what_is_open_and_is_among_the_ways() -> None:
    writers = {name: node for name, node in functions("users/services") if written(node)}
    enders = {name for name, node in functions("users/services") if "end_open_credentials" in called(node)}
    tried = {f"{function.__module__.rpartition('.')[2]}.{function.__name__}" for way in WAYS for function in way.by}

    assert {name for name in writers if name not in enders} == set()
    assert enders == tried


def test_every_write_of_a_password_says_whether_it_is_short() -> None:
    def assigned(function: ast.FunctionDef) -> set[str]:
        targets = [target for node in ast.walk(function) if isinstance(node, ast.Assign) for target in node.targets]
        return {part.attr for one in targets for part in ast.walk(one) if isinstance(part, ast.Attribute)}

    writers = {name: assigned(node) for name, node in functions("users/services")}

    passwords_written = {name for name, attributes in writers.items() if "password" in attributes}
    assert passwords_written == {name for name, attributes in writers.items() if "password_is_short" in attributes}
    assert len(passwords_written) == 4


def test_every_change_of_second_factors_ends_what_is_open() -> None:
    changes = {"delete_factors", "_replace_recovery_codes"}
    changing = {name for name, node in functions("users/services") if changes & called(node)}

    assert changing == {
        "enrolment.confirm_enrolment",
        "enrolment.remove_second_factor",
        "enrolment.renew_recovery_codes",
        "enrolment.reset_second_factor",
        "enrolment.provision_second_factor",
        "erasure.erase_person",
    }
    assert {
        name
        for name, node in functions("users/services")
        if name in changing and not {"_end_others", "end_open_credentials"} & called(node)
    } == set()


def test_a_users_columns_are_written_by_the_services_of_identity_alone() -> None:
    """No other room updates them past the services: `User.objects…update(` is nowhere in the product."""
    product = [
        path
        for room in (
            "compliance",
            "messaging",
            "organizations",
            "payments",
            "reconciliation",
            "transactions",
            "users",
            "wallet",
        )
        for path in (ROOT / room).rglob("*.py")
        if "tests" not in path.parts and "migrations" not in path.parts
    ]
    found = [
        str(path.relative_to(ROOT))
        for path in product
        if re.search(r"\bUser\.objects\b[^\n]*\.update\(", path.read_text())
    ]

    assert found == []


# --- Messages, races --------------------------------------------------------------------------------------------------


def test_a_reset_asked_for_before_and_mailed_after_a_change_is_not_mailed(world: World) -> None:
    unit_of_work(lambda: change_password(world))
    before = len(mail.outbox)

    for message in (world.messages["reset"], world.messages["invitation sent"]):
        tasks.send_message(str(message.pk))
        message.refresh_from_db()
        assert (message.state, message.recipient) == (MessageState.WITHHELD, None)

    unit_of_work(lambda: passwords.request_reset(actor=SYSTEM, email=EMAIL, now=clock.now()))
    tasks.send_message(str(newest_message("password_reset", "email").pk))

    assert [sent.to for sent in mail.outbox[before:]] == [[EMAIL]]
    assert passwords.user_id_by_reset_token(token=mailed_token()) == world.carol.pk


def test_a_revoked_invitation_is_not_mailed(world: World) -> None:
    acme = world.sent.organization
    unit_of_work(
        lambda: organizations.revoke_invitation(
            actor=member_actor(world.carol, acme),
            organization_id=acme.pk,
            invitation_id=world.sent.pk,
            now=clock.now(),
        )
    )

    assert not would_be_sent(world, "invitation sent")
    assert would_be_sent(world, "invitation received")
