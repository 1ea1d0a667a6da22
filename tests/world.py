"""A small world with something of everything, for tests that walk over every route: whose is what, and good bodies.

`RESOURCES` says how to make the object that a route's path names; `BODIES` has a body that the route takes; `NESTED`
says of each id inside a body whose it has to be. A route that isn't here fails `test_access_matrix.py`: who adds one
adds it.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest import mock

from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction

from compliance.tests.factories import PERSON
from fintech_core.db import clock, ids, work
from fintech_core.db.work import unit_of_work
from fintech_core.http.endpoints import IdempotencyKey, endpoint_of
from fintech_core.limits.ratelimit import Limit
from fintech_core.security.capabilities import Capability, alternatives
from fintech_core.security.step_up import StepUpAction
from organizations.enums import MemberRole
from organizations.models import Organization, OrganizationMember
from organizations.roles import MEMBER_CAPABILITIES
from organizations.tests.factories import approve_kyb, client_in, organization_of, wallet_for
from reconciliation.enums import MatchRule
from reconciliation.groups import Item
from reconciliation.matching import Matched
from reconciliation.models import Break, Match, Proposal, StatementLine
from reconciliation.services.proposals import keep_proposals
from reconciliation.tests.samples import ACCOUNT, OLD, TODAY, account, csv_of, import_, reconcile
from tests.api_routes import api_endpoints
from tests.cast import PASSWORD, SYSTEM, Client, anonymous_client, client_for, customer, key_client, kyc, staff
from transactions.exchange.services.rates import load_rates
from transactions.ledger import engine as ledger
from transactions.ledger.accounts import clearing
from transactions.ledger.enums import TransactionKind
from transactions.ledger.models import LedgerEntry
from transactions.seals.services import seal_ledger
from users.enums import STAFF_ROLES, Role, Scope
from users.models import Session, User
from users.roles import CAPABILITIES
from users.scopes import capabilities_of
from wallet.models import Wallet
from wallet.selectors import open_wallet_of
from wallet.services import open_wallet

API = "api/v1/"
NOBODY = "01a2053d-03df-71d1-8045-26d288669fea"  # an id that nothing has
Body = dict[str, Any]


@dataclass(frozen=True)
class Owner:
    """Somebody with money, or an organization with the client of its administrator who acts in it.

    Objects are made through `client`, and are the owner's.
    """

    name: str
    user: User
    client: Client
    usd: Wallet
    eur: Wallet
    organization: Organization | None = None
    members: Mapping[MemberRole, User] = field(default_factory=dict)


@dataclass
class World:
    alice: Owner
    bob: Owner
    mallory: Owner
    acme: Owner
    evil: Owner
    staff: Mapping[Role, Client]
    made: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def object_of(self, owner: Owner, resource: str) -> dict[str, Any]:
        """The parameters of a path that leads to the owner's object; it is made at the first asking."""
        key = (str(owner.user.pk), resource)
        if key not in self.made:
            self.made[key] = RESOURCES[resource].make(self, owner)
        return self.made[key]


def build() -> World:
    """Alice, bob (who deals with her) and mallory (who doesn't), Acme and Evil, each with money; staff; rates."""
    day = clock.now().date()
    rates = {"EUR": Decimal(1), "USD": Decimal("1.0837")}
    unit_of_work(lambda: load_rates(actor=SYSTEM, source="ecb", as_of=day, rates=rates))
    alice, bob, mallory = (owner(name) for name in ("alice", "bob", "mallory"))
    acme, evil = (organization(name) for name in ("Acme", "Evil"))
    return World(alice, bob, mallory, acme, evil, {role: client_for(staff(role)) for role in sorted(STAFF_ROLES)})


def owner(name: str) -> Owner:
    user = kyc(customer(name), 1)
    wallets = []
    for currency in ("USD", "EUR"):
        wallet = open_wallet_of(user.pk, currency) or unit_of_work(
            lambda currency=currency: open_wallet(  # type: ignore[misc]
                actor=SYSTEM, owner_user_id=user.pk, currency=currency, now=clock.now()
            )
        )
        fund(wallet)
        wallets.append(wallet)
    return Owner(name, user, client_for(user), *wallets)


def organization(name: str) -> Owner:
    """With one member of each role, whose addresses are `role.name@customer.example`, and its KYB done."""
    members = {role: customer(f"{role.value}.{name.lower()}") for role in MemberRole}
    admin = members[MemberRole.ADMIN]
    others = {role.value: user for role, user in members.items() if role is not MemberRole.ADMIN}
    made = approve_kyb(organization_of(admin, name, **others))
    usd, eur = (wallet_for(made, "1000.00", currency) for currency in ("USD", "EUR"))
    return Owner(name, admin, client_in(admin, made), usd, eur, made, members)


def fund(wallet: Wallet, amount: str = "1000.00") -> None:
    leg = ledger.Leg(clearing("simulator", wallet.currency), wallet.pk, Decimal(amount), wallet.currency)
    posting = ledger.Posting(kind=TransactionKind.DEPOSIT, legs=(leg,))
    unit_of_work(lambda: ledger.post_one(posting, actor=SYSTEM))


@contextmanager
def undone() -> Iterator[None]:
    """What happens inside is rolled back; use cases may open their durable transactions, as in a `db` test."""
    block = transaction.atomic()
    block._from_testcase = True  # type: ignore[attr-defined]
    with mock.patch.object(work, "read_only_snapshot", _snapshot), block:
        try:
            yield
        finally:
            transaction.set_rollback(True)


@contextmanager
def _snapshot() -> Iterator[None]:
    """PostgreSQL sets the isolation of a transaction before its first statement only, and this one has had many."""
    yield


# --- Routes -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    any_of: frozenset[Capability]  # each alone opens it
    needs_key: bool
    step_up: StepUpAction | None = None
    limits: tuple[Limit, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def template(self) -> str:
        """As OpenAPI spells the path."""
        return "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", self.path).replace("{pk}", "{id}")

    @property
    def resource(self) -> str | None:
        """The part of the path that names an object, up to its last parameter."""
        found = re.match(r".*>", self.path)
        return found.group(0) if found else None

    def opens_to(self, capabilities: Collection[Capability]) -> bool:
        return not self.any_of.isdisjoint(capabilities)

    def url(self, parameters: Mapping[str, Any]) -> str:
        return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda match: str(parameters[match[1]]), self.path)


def api_v1() -> list[Route]:
    """Every verb of every route below /api/v1 that asks who is calling."""
    found = []
    for path, method, view, action in api_endpoints():
        declared = endpoint_of(view, action)
        any_of = alternatives(declared.access)
        if path.startswith(API) and Capability.PUBLIC not in any_of:
            needs_key = declared.key is IdempotencyKey.REQUIRED
            found.append(Route(method.upper(), path, any_of, needs_key, declared.step_up, declared.limits))
    return sorted(found, key=lambda route: (route.path, route.method))


def call(client: Client, route: Route, parameters: Mapping[str, Any], body: Body | None) -> Any:
    """One request; a money-moving one gets a key of its own."""
    multipart = body is not None and any(hasattr(value, "read") for value in body.values())
    headers = {"Idempotency-Key": str(ids.uuid7())} if route.needs_key else {}
    if multipart:
        for value in body.values():  # type: ignore[union-attr]
            if hasattr(value, "read"):
                value.seek(0)
    send = getattr(super(Client, client), route.method.lower())
    return send(
        route.url(parameters) + QUERIES.get(route.name, ""),
        **({} if route.method == "GET" else {"data": body or {}, "format": "multipart" if multipart else "json"}),
        headers=headers,
    )


# --- Objects ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Resource:
    """`read_all`: with which capability staff reach everybody's. `platform`: it is nobody's, the capability decides.

    `membership`: an organization or a part of one: who isn't a member gets a 404 before any capability is asked for.
    `persons`: nobody has one in an organization.
    """

    make: Callable[[World, Owner], dict[str, Any]]
    read_all: Capability | None = None
    platform: bool = False
    membership: bool = False
    persons: bool = False


def _created(client: Client, path: str, body: Body) -> str:
    answer = client.post(f"/{API}{path}", body, key="new")
    assert answer.status_code == 201, (path, answer.status_code, answer.content)
    return str(answer.json()["id"])


def _own(path: str) -> Callable[[World, Owner], dict[str, Any]]:
    """An object that its owner makes by a POST to the list."""

    def make(world: World, owner: Owner) -> dict[str, Any]:
        return {"pk": _created(owner.client, path, BODIES[f"POST {API}{path}"](world, owner))}

    return make


def _staffs(path: str) -> Callable[[World, Owner], dict[str, Any]]:
    def make(world: World, owner: Owner) -> dict[str, Any]:
        return {"pk": _created(world.staff[Role.ADMIN], path, BODIES[f"POST {API}{path}"](world, owner))}

    return make


def _wallet(world: World, owner: Owner) -> dict[str, Any]:
    return {"pk": str(owner.usd.pk)}


def _monitor(world: World, owner: Owner) -> dict[str, Any]:
    body = BODIES[f"POST {API}wallets/<uuid:pk>/monitors"](world, owner)
    return {"pk": str(owner.usd.pk), "monitor_id": _created(owner.client, f"wallets/{owner.usd.pk}/monitors", body)}


def _transaction(world: World, owner: Owner) -> dict[str, Any]:
    """Money that came in: nobody but the owner has a side of it."""
    fund(owner.usd)
    newest = owner.client.get(f"/{API}transactions").json()["results"][0]
    assert newest["kind"] == "DEPOSIT"
    return {"pk": newest["id"]}


def _statement(world: World, owner: Owner) -> dict[str, Any]:
    route = Route("POST", f"{API}reconciliation/statements", frozenset({Capability.RECONCILE}), needs_key=False)
    answer = call(world.staff[Role.OPERATOR], route, {}, BODIES[route.name](world, owner))
    assert answer.status_code == 201, answer.content
    return {"pk": answer.json()["results"][0]["id"]}


def _break(world: World, owner: Owner) -> dict[str, Any]:
    world.object_of(owner, f"{API}reconciliation/statements/<uuid:pk>")
    reconcile()
    return {"pk": str(Break.objects.latest("id").pk)}


def _line_and_entry(world: World, owner: Owner) -> tuple[StatementLine, LedgerEntry]:
    """Money that came in, as the books and a statement have it."""
    name = ids.uuid7().hex
    leg = ledger.Leg(clearing("simulator", "USD"), owner.usd.pk, Decimal("1.00"), "USD")
    posting = ledger.Posting(kind=TransactionKind.DEPOSIT, legs=(leg,), reference=f"simulator:{name}")
    posted = unit_of_work(lambda: ledger.post_one(posting, actor=SYSTEM))
    import_(csv_of((TODAY, "1.00", name)))
    entry = LedgerEntry.objects.get(transaction=posted, wallet__account_code=ACCOUNT)
    return StatementLine.objects.get(reference=name), entry


def _match(world: World, owner: Owner) -> dict[str, Any]:
    line, _ = _line_and_entry(world, owner)
    reconcile()
    return {"pk": str(Match.objects.get(lines__line=line).pk)}


def _proposal(world: World, owner: Owner) -> dict[str, Any]:
    line, entry = _line_and_entry(world, owner)
    items = [Item(side.pk, TODAY, side.amount) for side in (line, entry)]
    found = Matched(MatchRule.ONE_TO_MANY, (items[0],), (items[1],))
    unit_of_work(lambda: keep_proposals(actor=SYSTEM, account=account(), found=[found], seen=None))
    return {"pk": str(Proposal.objects.latest("id").pk)}


def _seal(world: World, owner: Owner) -> dict[str, Any]:
    return {"pk": unit_of_work(lambda: seal_ledger(actor=SYSTEM, now=clock.now())).pk}


def _organization(world: World, owner: Owner) -> dict[str, Any]:
    assert owner.organization is not None
    return {"organization_id": str(owner.organization.pk)}


def _member(world: World, owner: Owner) -> dict[str, Any]:
    viewer = OrganizationMember.objects.get(organization=owner.organization, role=MemberRole.VIEWER)
    return {**_organization(world, owner), "pk": str(viewer.pk)}


def _below(name: str) -> Callable[[World, Owner], dict[str, Any]]:
    """What an organization's administrator makes by a POST to one of its lists."""

    def make(world: World, owner: Owner) -> dict[str, Any]:
        parent = _organization(world, owner)
        body = BODIES[f"POST {_IN_ORGANIZATION}/{name}"](world, owner)
        made = _created(owner.client, f"organizations/{parent['organization_id']}/{name}", body)
        return {**parent, "pk": made}

    return make


def _session(world: World, owner: Owner) -> dict[str, Any]:
    now = clock.now()
    row = Session.objects.create(user=owner.user, created_at=now, last_used_at=now, expires_at=now + timedelta(days=1))
    return {"pk": str(row.pk)}


_IN_ORGANIZATION = f"{API}organizations/<uuid:organization_id>"
RESOURCES: Mapping[str, Resource] = {
    _IN_ORGANIZATION: Resource(_organization, membership=True),
    f"{_IN_ORGANIZATION}/members/<uuid:pk>": Resource(_member, membership=True),
    f"{_IN_ORGANIZATION}/invitations/<uuid:pk>": Resource(_below("invitations"), membership=True),
    f"{_IN_ORGANIZATION}/payout-accounts/<uuid:pk>": Resource(_below("payout-accounts"), membership=True),
    f"{API}users/me/sessions/<uuid:pk>": Resource(_session, persons=True),
    f"{API}wallets/<uuid:pk>": Resource(_wallet, Capability.WALLETS_READ_ALL),
    f"{API}wallets/<uuid:pk>/monitors/<uuid:monitor_id>": Resource(_monitor, Capability.WALLETS_READ_ALL),
    f"{API}transactions/<uuid:pk>": Resource(_transaction, Capability.TRANSACTIONS_READ_ALL),
    f"{API}holds/<uuid:pk>": Resource(_own("holds"), Capability.TRANSACTIONS_READ_ALL),
    f"{API}scheduled-transfers/<uuid:pk>": Resource(_own("scheduled-transfers"), Capability.TRANSACTIONS_READ_ALL),
    f"{API}exchange-quotes/<uuid:pk>": Resource(_own("exchange-quotes")),
    f"{API}payment-intents/<uuid:pk>": Resource(_own("payment-intents"), Capability.PAYMENTS_READ_ALL),
    f"{API}kyc/submissions/<uuid:pk>": Resource(_own("kyc/submissions"), Capability.KYC_READ_ALL, persons=True),
    f"{API}api-keys/<uuid:pk>": Resource(_own("api-keys")),
    f"{API}users/<uuid:pk>": Resource(lambda world, owner: {"pk": str(owner.user.pk)}, platform=True),
    f"{API}fee-schedules/<uuid:pk>": Resource(_staffs("fee-schedules"), platform=True),
    f"{API}seals/<int:pk>": Resource(_seal, platform=True),
    f"{API}reconciliation/statements/<uuid:pk>": Resource(_statement, platform=True),
    f"{API}reconciliation/breaks/<uuid:pk>": Resource(_break, platform=True),
    f"{API}reconciliation/matches/<uuid:pk>": Resource(_match, platform=True),
    f"{API}reconciliation/proposals/<uuid:pk>": Resource(_proposal, platform=True),
    f"{API}reconciliation/external-accounts/<uuid:pk>": Resource(
        _staffs("reconciliation/external-accounts"), platform=True
    ),
}


# --- Bodies -----------------------------------------------------------------------------------------------------------

MakeBody = Callable[[World, Owner], Body]
_REASON: Body = {"reason": "for the tests"}


def _money(owner: Owner, **more: Any) -> Body:
    return {"amount": "1.00", "currency": "USD", **more}


def _transfer(world: World, owner: Owner) -> Body:
    return _money(owner, source_wallet=str(owner.usd.pk), destination_wallet=str(world.bob.usd.pk))


def _start() -> str:
    return (datetime.now(UTC) + timedelta(days=30)).isoformat()


def _just(**body: Any) -> MakeBody:
    return lambda world, owner: dict(body)


BODIES: Mapping[str, MakeBody] = {
    f"POST {API}organizations": _just(legal_name="Third Ltd", country="KZ", tax_number="123456789012"),
    f"POST {API}invitations/accept": _just(token="x" * 43),
    f"PATCH {_IN_ORGANIZATION}": _just(legal_name="Other Ltd"),
    f"POST {_IN_ORGANIZATION}/leave": _just(),
    f"POST {_IN_ORGANIZATION}/close": _just(**_REASON),
    f"POST {_IN_ORGANIZATION}/kyb/submit": _just(),
    f"POST {_IN_ORGANIZATION}/kyb/approve": _just(),
    f"POST {_IN_ORGANIZATION}/kyb/reject": _just(**_REASON),
    f"PATCH {_IN_ORGANIZATION}/members/<uuid:pk>": _just(role="agent"),
    f"POST {_IN_ORGANIZATION}/invitations": _just(email="new@customer.example", role="viewer"),
    f"POST {_IN_ORGANIZATION}/payout-accounts": _just(method="iban", details={"iban": "GR1601101250000000012300695"}),
    f"POST {API}auth/logout/all": lambda world, owner: {},
    f"POST {API}users/me/password": lambda world, owner: {
        "current_password": PASSWORD,
        "new_password": "an entirely new password",
    },
    f"POST {API}users/me/phone": lambda world, owner: {"phone": "+12025550199"},
    f"POST {API}users/me/phone/verify": lambda world, owner: {"phone": "+12025550199", "code": "123456"},
    f"POST {API}users/me/email": lambda world, owner: {"email": "new@customer.example"},
    f"POST {API}users/me/email/verify": lambda world, owner: {"email": "new@customer.example", "code": "123456"},
    f"PATCH {API}users/me": _just(first_name="Alicia"),
    f"PATCH {API}users/me/log-in-methods": _just(email_code=False),
    f"POST {API}users/me/second-factor": _just(),
    f"POST {API}users/me/second-factor/confirm": _just(code="123456"),
    f"POST {API}users/me/second-factor/recovery-codes": _just(),
    f"POST {API}users/<uuid:pk>/erase": _just(**_REASON),
    f"POST {API}auth/step-up": _just(method="DELETE", path="/api/v1/users/me/second-factor"),
    f"POST {API}api-keys": _just(name="Shop", scopes=["wallets:read"]),
    f"POST {API}wallets": _just(currency="JPY"),
    f"POST {API}wallets/<uuid:pk>/close": _just(**_REASON),
    f"POST {API}wallets/<uuid:pk>/freeze": _just(**_REASON),
    f"POST {API}wallets/<uuid:pk>/unfreeze": _just(**_REASON),
    f"POST {API}wallets/<uuid:pk>/policy": _just(currency="USD", credit_limit="5.00", **_REASON),
    f"POST {API}wallets/<uuid:pk>/monitors": _just(condition="available_below", threshold="5.00", currency="USD"),
    f"POST {API}kyc/submissions": _just(level=2, **PERSON),
    f"POST {API}kyc/submissions/<uuid:pk>/approve": _just(level=1),
    f"POST {API}kyc/submissions/<uuid:pk>/reject": _just(**_REASON),
    f"POST {API}transfers": _transfer,
    f"POST {API}transfers/batch": lambda world, owner: {"mode": "atomic", "transfers": [_transfer(world, owner)]},
    f"POST {API}fee-schedules": _just(kind="TRANSFER", currency="GBP", fixed="0.10", **_REASON),
    f"POST {API}fee-schedules/<uuid:pk>/end": _just(**_REASON),
    f"POST {API}exchange-rates": lambda world, owner: {
        "source": "desk",
        "as_of": clock.now().date().isoformat(),
        "rates": {"USD": "1.0837", "GBP": "0.87"},  # it prices all pairs from then on
    },
    f"POST {API}exchange-quotes": lambda world, owner: _money(
        owner, source_wallet=str(owner.usd.pk), destination_wallet=str(owner.eur.pk)
    ),
    # A new one each time: quotes live for a minute.
    f"POST {API}exchanges": lambda world, owner: {"quote": _own("exchange-quotes")(world, owner)["pk"]},
    f"POST {API}transactions/<uuid:pk>/reverse": _just(**_REASON),
    f"POST {API}holds": lambda world, owner: _money(owner, wallet=str(owner.usd.pk)),
    f"POST {API}holds/<uuid:pk>/capture": lambda world, owner: {"destination_wallet": str(world.bob.usd.pk)},
    f"POST {API}holds/<uuid:pk>/extend": _just(expires_in=86_400),
    f"POST {API}holds/<uuid:pk>/void": _just(**_REASON),
    f"POST {API}scheduled-transfers": lambda world, owner: {
        **_transfer(world, owner),
        "frequency": "WEEKLY",
        "start_at": _start(),
    },
    f"POST {API}scheduled-transfers/<uuid:pk>/cancel": _just(**_REASON),
    f"POST {API}scheduled-transfers/<uuid:pk>/pause": _just(),
    f"POST {API}scheduled-transfers/<uuid:pk>/resume": _just(),
    f"POST {API}reconciliation/statements": lambda world, owner: {
        "file": SimpleUploadedFile("statement", csv_of((OLD, "1.00", ids.uuid7().hex))),
        "format": "csv",
        "account": ACCOUNT,
        "currency": "USD",
    },
    f"POST {API}reconciliation/breaks/<uuid:pk>/assign": lambda world, owner: {
        "owner": str(world.staff[Role.OPERATOR].user.pk),
        **_REASON,
    },
    f"POST {API}reconciliation/breaks/<uuid:pk>/resolve": _just(action="ignore", **_REASON),
    f"POST {API}reconciliation/matches/<uuid:pk>/take-back": _just(**_REASON),
    f"POST {API}reconciliation/proposals/<uuid:pk>/confirm": _just(**_REASON),
    f"POST {API}reconciliation/proposals/<uuid:pk>/reject": _just(**_REASON),
    f"POST {API}reconciliation/external-accounts": lambda world, owner: {
        "account": ACCOUNT,
        "currency": "USD",
        "identifier": ids.uuid7().hex,
        **_REASON,
    },
    f"POST {API}reconciliation/external-accounts/<uuid:pk>/retire": _just(**_REASON),
    f"POST {API}payment-intents": lambda world, owner: _money(owner, wallet=str(owner.usd.pk), gateway="simulator"),
    f"POST {API}payment-intents/<uuid:pk>/cancel": _just(),
    f"POST {API}payment-intents/<uuid:pk>/simulate": _just(outcome="failed"),
}

# What a route needs in its query.
QUERIES: Mapping[str, str] = {
    f"GET {API}wallets/<uuid:pk>/statement": "?from=2026-01-01&to=2026-02-01",
    f"GET {API}reconciliation/coverage": f"?account={ACCOUNT}&currency=USD",
    f"GET {API}reports/journal": "?from=2026-01-01&to=2026-02-01",
}

# --- Callers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Caller:
    """Who asks. `owns`: the owner's objects are theirs. `within`: their rights below `organizations/{id}`, where the
    path alone makes a member act in it; None for who is no member.
    """

    name: str
    client: Client
    capabilities: frozenset[Capability]
    owns: bool = False
    within: frozenset[Capability] | None = None


def callers(world: World) -> list[Caller]:
    """Alice, each of her keys, others of every role, a stranger's key with every scope."""
    found = [Caller("the owner", world.alice.client, CAPABILITIES[Role.CLIENT], owns=True)]
    for scope in Scope:
        rights = CAPABILITIES[Role.CLIENT] & capabilities_of([scope])
        found.append(Caller(f"the owner's key for {scope}", key_client(world.alice.user, scope), rights, owns=True))
    found.append(Caller("a stranger", world.mallory.client, CAPABILITIES[Role.CLIENT]))
    for role in (Role.AGENT, Role.AGENCY_ADMIN):
        person = customer(role.value)
        User.objects.filter(pk=person.pk).update(role=role)
        found.append(Caller(f"a strange {role}", client_for(person), CAPABILITIES[role]))
    rights = CAPABILITIES[Role.CLIENT] & capabilities_of(Scope)
    found.append(Caller("a stranger's key", key_client(world.mallory.user, *Scope), rights))
    found += [Caller(role.value, client, CAPABILITIES[role]) for role, client in world.staff.items()]
    return found


def callers_of_organization(world: World) -> list[Caller]:
    """Acme's members in each role, acting in it and not; its key; strangers with and without an organization; staff."""
    acme, evil = world.acme, world.evil
    assert acme.organization is not None
    assert evil.organization is not None
    found = []
    for role, user in acme.members.items():
        rights = MEMBER_CAPABILITIES[role]
        found.append(Caller(f"{role} in Acme", client_in(user, acme.organization), rights, owns=True, within=rights))
    admins = MEMBER_CAPABILITIES[MemberRole.ADMIN]
    found.append(Caller("its admin outside of it", client_for(acme.user), CAPABILITIES[Role.CLIENT], within=admins))
    rights = admins & capabilities_of(Scope)
    found.append(Caller("its key", _key_of(acme), rights, owns=True, within=rights))
    found.append(Caller("a stranger", world.mallory.client, CAPABILITIES[Role.CLIENT]))
    found.append(Caller("a stranger's admin", evil.client, admins))
    found.append(Caller("a stranger's key", _key_of(evil), rights))
    found += [Caller(role.value, client, CAPABILITIES[role]) for role, client in world.staff.items()]
    return found


def _key_of(owner: Owner) -> Client:
    """A client with a key of the organization with every scope."""
    made = owner.client.post(f"/{API}api-keys", {"name": "tests", "scopes": list(Scope.values)})
    assert made.status_code == 201, made.content
    client = anonymous_client()
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {made.json()['key']}")
    return client


def nobody() -> Client:
    return anonymous_client()


# --- Ids inside of bodies ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Foreign:
    """An id in a body that must be one's own: what it names, and the answer for somebody else's."""

    resource: str
    status: int = 404
    code: str = "not_found"


ANYBODYS = None  # payees are others by design
_WALLET = f"{API}wallets/<uuid:pk>"
NESTED: Mapping[str, Mapping[str, Foreign | None]] = {
    f"POST {API}auth/step-up": {"organization": ANYBODYS},  # looked up as the header is: users/tests/test_step_up.py
    f"POST {API}transfers": {"source_wallet": Foreign(_WALLET), "destination_wallet": ANYBODYS},
    f"POST {API}transfers/batch": {
        "transfers[].source_wallet": Foreign(_WALLET, 422, "batch_refused"),
        "transfers[].destination_wallet": ANYBODYS,
    },
    f"POST {API}exchange-quotes": {"source_wallet": Foreign(_WALLET), "destination_wallet": Foreign(_WALLET)},
    f"POST {API}exchanges": {"quote": Foreign(f"{API}exchange-quotes/<uuid:pk>")},
    f"POST {API}holds": {"wallet": Foreign(_WALLET)},
    f"POST {API}holds/<uuid:pk>/capture": {"destination_wallet": ANYBODYS},
    f"POST {API}scheduled-transfers": {"source_wallet": Foreign(_WALLET), "destination_wallet": ANYBODYS},
    f"POST {API}payment-intents": {"wallet": Foreign(_WALLET)},
    f"POST {API}reconciliation/breaks/<uuid:pk>/assign": {"owner": ANYBODYS},  # staff name staff
    f"POST {_IN_ORGANIZATION}/payout-accounts": {"replaces": Foreign(f"{_IN_ORGANIZATION}/payout-accounts/<uuid:pk>")},
}


def with_value(body: Any, path: str, value: Any) -> Any:
    """A copy of the body with `value` at the path; `[]` stands for the first of a list."""
    name, _, rest = path.partition(".")
    many, name = name.endswith("[]"), name.removesuffix("[]")
    if many:
        first, *others = body[name]
        return {**body, name: [with_value(first, rest, value) if rest else value, *others]}
    return {**body, name: with_value(body[name], rest, value) if rest else value}  # also one that a body may leave out
