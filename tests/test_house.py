"""The rules of docs/development.md, House style, that ruff, mypy and import-linter can't know: read off the source."""

import ast
import inspect
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.conf import global_settings, settings
from django.db.models import DateTimeField
from django.urls import get_resolver
from rest_framework.serializers import ModelSerializer
from rest_framework.views import APIView

from fintech_core import settings as product_settings
from fintech_core.http.endpoints import UNDECLARED, endpoint_of
from fintech_core.limits.ratelimit import Per
from fintech_core.rooms import ROOMS
from fintech_core.security.capabilities import Capability, alternatives
from tests.api_routes import api_endpoints, api_routes, routes
from tests.source_code import ROOT, calls, is_service, sources
from users import services as users_services
from users.limits import REGISTER_NETWORK, SEND_NETWORK


def test_transactions_are_opened_in_the_kernel_alone() -> None:
    found = set()
    for path, tree in sources():
        for node in ast.walk(tree):
            of_django = isinstance(node, ast.ImportFrom) and (node.module or "").startswith("django.db")
            imported = of_django and {"atomic", "Atomic"} & {alias.name for alias in node.names}
            used = isinstance(node, ast.Attribute) and node.attr in {"atomic", "Atomic", "set_autocommit"}
            if imported or used:
                found.add(path)

    assert found == {"fintech_core/db/work.py", "fintech_core/db/idempotency.py"}


# A unique violation is a lost race by the one rule of unit_of_work. These answer a constraint in another way: the CHECK
# of a trigger as a lost race, and a second sealer with a refusal instead of a retry.
CATCH_CONSTRAINTS = {"fintech_core/db/work.py", "transactions/fees/services.py", "transactions/seals/services.py"}


def test_a_unique_violation_is_translated_in_one_place() -> None:
    found = {
        path
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and node.type is not None and "IntegrityError" in ast.unparse(node.type)
    }

    assert found == CATCH_CONSTRAINTS


def test_a_new_password_is_hashed_in_one_place_behind_the_policy() -> None:
    """`make_password(None)`, which no text matches, and the hash of nobody's password are made in users.passwords."""
    found = {path for path, tree in sources() for _, name in calls(tree) if name in {"hash_password", "make_password"}}

    assert found == {"users/passwords.py", "users/services/new_passwords.py"}


def test_atomic_requests_are_off() -> None:
    assert settings.DATABASES["default"].get("ATOMIC_REQUESTS", False) is False


# Whole seconds and rates are no money; each use here says what it is.
FLOATS = {"fintech_core/ops/logging_config.py", "fintech_core/http/middleware.py"}


def test_no_float_comes_near_money() -> None:
    found = {
        f"{path}:{node.lineno}"
        for path, tree in sources()
        for node, name in calls(tree)
        if name in {"float", "FloatField"} and path not in FLOATS
    }

    assert found == set()


def test_money_is_never_a_float_literal() -> None:
    rooms = ("wallet/", "transactions/", "fintech_core/values/money.py")
    found = {
        f"{path}:{node.lineno}"
        for path, tree in sources()
        if path.startswith(rooms)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, float)
    }

    assert found == set()


def test_stock_pgtrigger_triggers_are_used_nowhere() -> None:
    """Any session may switch those off by a variable; ours are SealedTriggers."""
    stock = {"Protect", "ReadOnly", "SoftDelete", "FSM", "Trigger", "Composer", "ignore", "UpdateSearchVector"}
    found = set()
    for path, tree in sources():
        for node in ast.walk(tree):
            of_pgtrigger = isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "pgtrigger"
            if of_pgtrigger and node.attr in stock:
                found.add(path)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pgtrigger"):
                assert {alias.name for alias in node.names}.isdisjoint(stock), path

    assert found == {"fintech_core/db/triggers.py"}


# Who else reads a request's headers than `single_values.single_header`, which refuses repetitions, and why.
HEADER_READERS = {
    "fintech_core/http/body_limits.py",  # the length of the body (single_values refuses a repetition)
    "fintech_core/http/documents.py",  # Accept-Encoding, a list
    "fintech_core/http/exports.py",  # what the front put there, no header
    "fintech_core/http/client_address.py",  # the peer's address, and the trusted header (single_values knows it)
    "fintech_core/http/middleware.py",  # the request's id, before anything can be refused
    "fintech_core/http/parsers.py",  # Content-Encoding is a list
    "fintech_core/http/single_values.py",
    "payments/views.py",  # the signature's headers, for the gateway that checks them
    "users/admin_auth/forms.py",  # User-Agent is free text
    "users/views/code_log_ins.py",  # likewise
}


def test_headers_are_read_where_repetitions_are_refused() -> None:
    found = {
        path
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and (node.attr == "META" or (node.attr == "headers" and "request" in ast.unparse(node.value)))
    }

    assert found == HEADER_READERS


APPLY_THE_MAPS = {"transition", "require_transition", "may_transition", "wrong_state"}


def test_state_maps_are_read_by_the_kernel_and_by_triggers_alone() -> None:
    """Everything else hands them to `fintech_core.values.states`."""
    found, handed = set(), 0
    for path, tree in sources():
        if path.endswith(("/enums.py", "/triggers.py")):
            continue
        allowed = {
            id(argument)
            for node, name in calls(tree)
            if name in APPLY_THE_MAPS or (name, path) == ("_moves", "payments/models.py")  # a trigger's text
            for argument in node.args
        }
        for node in ast.walk(tree):
            name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
            if name.endswith("TRANSITIONS"):
                handed += id(node) in allowed
                found |= set() if id(node) in allowed else {f"{path}:{getattr(node, 'lineno', 0)}"}

    assert found == set()
    assert handed > 20


# Rows in services whose state has no map: the module, and what the row is called there.
STATES_WITHOUT_A_MAP = {
    ("reconciliation/services/proposals.py", "found"),
    ("reconciliation/services/proposals.py", "row"),
    ("transactions/holds/services.py", "hold"),
}


def state_fields() -> set[str]:
    """The columns of which there is a StateMap."""
    fields = set()
    for path, tree in sources():
        if path.endswith("/enums.py"):
            for node, name in calls(tree):
                if name == "StateMap":
                    named = [k.value for k in node.keywords if k.arg == "field"]
                    fields.add(ast.literal_eval(named[0]) if named else "status")
    return fields


def rows_being_created(function: ast.FunctionDef) -> set[str]:
    """Names in the function that hold nothing but objects that it makes itself."""
    bound = Counter(
        node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )
    bound.update(node.arg for node in ast.walk(function) if isinstance(node, ast.arg))
    made = Counter(
        target.id
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and getattr(getattr(node.value, "func", None), "id", "")[:1].isupper()
        for target in node.targets
        if isinstance(target, ast.Name)
    )
    return {name for name, times in made.items() if times == bound[name]}


def test_states_of_loaded_rows_change_by_transition_alone() -> None:
    """By name of the column: a row being created may be given its first state, a loaded one may not."""
    fields, found, unmapped = state_fields(), set(), set()
    functions = (
        (path, node)
        for path, tree in sources()
        if is_service(path)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    )
    for path, function in functions:
        created = rows_being_created(function)
        for node in ast.walk(function):
            if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Store) or node.attr not in fields:
                continue
            row = ast.unparse(node.value)
            if (path, row) in STATES_WITHOUT_A_MAP:
                unmapped.add((path, row))
            elif row not in created:
                found.add(f"{path}:{node.lineno}")

    assert fields == {"status", "kyb_status"}
    assert found == set()
    assert unmapped == STATES_WITHOUT_A_MAP


def test_a_saved_object_names_its_fields_unless_it_is_new() -> None:
    found = {
        f"{path}:{node.lineno}"
        for path, tree in sources()
        for node, name in calls(tree)
        if name == "save"
        and is_service(path)
        and not {k.arg for k in node.keywords} & {"update_fields", "force_insert"}
    }

    assert found == set()


def test_views_have_no_try_and_open_nothing() -> None:
    found = {
        f"{path}:{node.lineno}"
        for path, tree in sources()
        if path.endswith("/views.py") or "/views/" in path
        for node in ast.walk(tree)
        if isinstance(node, ast.Try)
    }

    assert found == set()


def test_the_only_signals_are_post_migrate() -> None:
    found = set()
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("signals"):
                found |= {(path, alias.name) for alias in node.names}
            if isinstance(node, ast.FunctionDef) and any("receiver" in ast.dump(d) for d in node.decorator_list):
                found.add((path, f"@receiver {node.name}"))

    assert {name for _, name in found} <= {"post_migrate", "worker_process_init", "setup_logging"}


def test_use_cases_take_keywords_and_the_actor_first() -> None:
    """Public functions of services: keyword-only, `actor` (where there is one) first."""
    found = set()
    for path, tree in sources():
        if not is_service(path):
            continue
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                arguments = [argument.arg for argument in node.args.kwonlyargs]
                positional = {argument.arg for argument in node.args.args}
                if "actor" in positional or ("actor" in arguments and (positional or arguments[0] != "actor")):
                    found.add(f"{path}:{node.name}")

    assert found == set()


def test_functions_and_modules_stay_small() -> None:
    long = set()
    for path, tree in sources():
        lines = len((ROOT / path).read_text().splitlines())
        if lines > 400 and path != "fintech_core/settings.py":
            long.add(f"{path}: {lines} lines")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= 50:
                long.add(f"{path}:{node.name}")

    assert long == set()


def test_every_module_says_what_it_owns() -> None:
    silent = {
        path
        for path, tree in sources()
        if tree.body and ast.get_docstring(tree) is None and not path.endswith("/apps.py")
    }

    assert silent == set()


def test_tasks_that_are_enqueued_by_name_exist() -> None:
    """A wrong name would be refused by the worker alone, and the work left to the job that sweeps."""
    import_module("fintech_core.celery").app.loader.import_default_modules()
    registered = import_module("fintech_core.celery").app.tasks
    enqueued = {
        (path, node.value.value)
        for path, tree in sources()
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and any(isinstance(target, ast.Name) and target.id.endswith("TASK") for target in node.targets)
    }

    assert len(enqueued) >= 4
    assert {(path, name) for path, name in enqueued if name not in registered} == set()


# What answers one question in one place, and where.
ASKED_IN_ONE_PLACE = {
    "users_by_verified_phones": {"transactions/transfers/services/destinations.py"},
    "open_wallet_of": {"transactions/transfers/services/destinations.py"},
    "may_receive": {"transactions/transfers/services/destinations.py"},
    "entry_line": {"transactions/ledger/hashing.py", "transactions/seals/proofs.py"},
    "entry_hash": {"transactions/ledger/engine.py", "transactions/seals/verification.py"},
}


def test_what_has_one_owner_is_asked_there() -> None:
    found: dict[str, set[str]] = {name: set() for name in ASKED_IN_ONE_PLACE}
    for path, tree in sources():
        for _, name in calls(tree):
            if name in found:
                found[name].add(path)

    assert found == ASKED_IN_ONE_PLACE


def test_own_wallets_are_looked_up_by_the_wallets_services() -> None:
    """`own_wallet` and `lock_own_wallet`, which say in one way that there is no such wallet."""
    found = {
        path
        for path, tree in sources()
        for node, name in calls(tree)
        if name == "filter"
        and any(keyword.arg == "pk" for keyword in node.keywords)
        and "wallets_owned_by(" in ast.unparse(node.func)
    }

    assert found == {"wallet/services.py"}


def test_the_reading_guide_of_the_ledger_names_every_module() -> None:
    package = ROOT / "transactions" / "ledger"
    guide = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""

    assert set(re.findall(r"`(\w+\.py)`", guide)) == {path.name for path in package.glob("*.py")} - {"__init__.py"}


# --- Wiring (ADR 18) --------------------------------------------------------------------------------------------------

# Who imports by name, and why.
IMPORTS_BY_NAME = {
    "fintech_core/composition.py",  # loads every module of services
    "users/apps.py",  # a model as the state of migrations has it
}


def test_nothing_is_imported_by_name() -> None:
    """What a lower room needs of a higher one is a field of the wiring, also where a relation leads to its model."""
    by_name = {"import_string", "import_module", "__import__", "get_model"}
    imported = {path for path, tree in sources() for _, name in calls(tree) if name in by_name}
    related = {
        path
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "related_model"
    }

    assert imported == IMPORTS_BY_NAME
    assert related == set()


# Settings that a library reads, in which it asks for dotted paths; besides Django's own.
OF_LIBRARIES = re.compile(r"ROOT_URLCONF|CELERY_\w+|REST_FRAMEWORK|SPECTACULAR_SETTINGS|SIMPLE_JWT|UNFOLD")


def texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for pair in value.items() for part in pair for text in texts_in(part))
    elif isinstance(value, list | tuple | set | frozenset):
        yield from (text for part in value for text in texts_in(part))


def test_no_setting_of_ours_names_something_of_ours() -> None:
    ours = re.compile(rf"({'|'.join(ROOMS)})(\.\w+)+")
    own = [name for name in dir(product_settings) if name.isupper() and not hasattr(global_settings, name)]
    named = {
        name
        for name in own
        if not OF_LIBRARIES.fullmatch(name) and any(map(ours.fullmatch, texts_in(getattr(product_settings, name))))
    }

    assert "KYC_REQUIRED" in own
    assert named == set()


# Loads what `manage.py` and the server load, and prints the classes that the page of error codes lists.
_LISTED = """
import django

django.setup()
from fintech_core import urls
from fintech_core.exceptions import error_classes

print(*(f"{cls.__module__}.{cls.__name__}" for cls in error_classes()))
"""


def test_every_error_class_is_listed_whatever_else_is_imported() -> None:
    answer = subprocess.run([sys.executable, "-c", _LISTED], cwd=ROOT, capture_output=True, text=True, check=True)
    classes = {
        node.name: (f"{path.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}.{node.name}", node)
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    errors = {"DomainError"}
    while more := {n for n, (_, c) in classes.items() if {ast.unparse(b) for b in c.bases} & errors} - errors:
        errors |= more

    assert len(errors) > 80
    assert {classes[name][0] for name in errors} - {"fintech_core.exceptions.DomainError"} <= set(answer.stdout.split())


# --- Routes -----------------------------------------------------------------------------------------------------------


def test_every_action_of_every_route_declares_its_capability() -> None:
    """Default deny: what isn't declared is refused, and here it isn't forgotten either (requirement 16)."""
    listed = api_endpoints()
    missing = {
        f"{path} {action}"
        for path, _, view, action in listed
        if not (named := alternatives(endpoint_of(view, action).access))
        or not all(isinstance(one, Capability) for one in named)
    }

    assert len(listed) > 100
    assert missing == set()


def test_every_declared_endpoint_has_a_route() -> None:
    """One without a route is forgotten work, or an action under another name than the route's."""
    served: dict[type[APIView], set[str]] = {}
    for _, _, view, action in api_endpoints():
        served.setdefault(view, set()).add(action)
    unknown = {
        f"{view.__name__}.{name}"
        for view, actions in served.items()
        for name in dir(view)
        if name not in actions and endpoint_of(view, name) is not UNDECLARED
    }

    assert unknown == set()


def model_outputs(base: type = ModelSerializer) -> Iterator[type[ModelSerializer[Any]]]:
    for cls in base.__subclasses__():
        if hasattr(cls, "Meta") and ".tests." not in cls.__module__ and not cls.__module__.startswith("rest_framework"):
            yield cls
        yield from model_outputs(cls)


def test_an_output_says_what_may_be_null_or_empty() -> None:
    """Else the OpenAPI file promises more than the answers keep: clients made from it fail on a null."""
    assert get_resolver().url_patterns  # loads every view, and so every serializer
    found = set()
    for cls in model_outputs():
        columns = {column.name: column for column in cls.Meta.model._meta.concrete_fields}
        for name, shown in cls().fields.items():
            column = columns.get(str(shown.source).removesuffix("_id"))
            if column is None:
                continue
            empty = column.blank and column.choices and not getattr(shown, "allow_blank", False)
            nothing_is_empty = getattr(column, "empty", False)  # an encrypted text, whose NULL reads as ""
            if empty or (column.null and not shown.allow_null and not nothing_is_empty):
                found.add(f"{cls.__name__}.{name}")

    assert found == set()


PUBLIC = {
    "health", "api/health", "ready", "api/schema", "api/docs", "api/redoc",
    "api/v1/auth/register", "api/v1/auth/email/verify", "api/v1/auth/token", "api/v1/auth/token/refresh",
    "api/v1/auth/logout", "api/v1/auth/agent/sms/send", "api/v1/auth/agent/sms/verify",
    "api/v1/auth/client/email/send", "api/v1/auth/client/email/verify", "api/v1/auth/agency/login",
    "api/v1/auth/password/reset", "api/v1/auth/password/reset/confirm",
}  # fmt: skip


def test_what_is_public_is_reviewed() -> None:
    found = {path for path, _, view, action in api_endpoints() if endpoint_of(view, action).access is Capability.PUBLIC}

    assert {path for path in found if not path.startswith("webhooks/")} == PUBLIC


# Whoever calls these has 256 random bits or gets nothing; the limit of everything below /api is enough.
UNGUESSABLE = {"refresh", "log_out"}


def test_every_public_route_has_limits_of_its_own() -> None:
    """Of the public API everything is a try of something, or sends something (requirement 40)."""
    unlimited = {
        f"{path} {action}"
        for path, _, view, action in api_endpoints()
        if path.startswith("api/v1/")
        and (declared := endpoint_of(view, action)).access is Capability.PUBLIC
        and action not in UNGUESSABLE
        and not declared.limits
    }

    assert unlimited == set()


def test_every_limit_has_its_rate() -> None:
    names = {limit.name for _, _, view, action in api_endpoints() for limit in endpoint_of(view, action).limits}

    assert len(names) > 5
    assert names <= set(settings.RATE_LIMITS)


def test_what_counts_by_destination_is_validated_and_written_once() -> None:
    """`write` counts it, after the body was found valid."""
    counted = {
        (view, action)
        for _, _, view, action in api_endpoints()
        if any(
            limit.per is Per.DESTINATION or limit in {SEND_NETWORK, REGISTER_NETWORK}
            for limit in endpoint_of(view, action).limits
        )
    }

    assert len(counted) >= 7
    for view, action in counted:
        source = inspect.getsource(getattr(view, action))
        assert any(limit.per is Per.DESTINATION for limit in endpoint_of(view, action).limits), (view, action)
        assert (source.count("self.validated("), source.count("self.write(")) == (1, 1), (view, action)
        assert source.index("self.validated(") < source.index("self.write("), (view, action)


def test_api_paths_have_no_trailing_slash() -> None:
    assert {path for path, *_ in api_routes() if path.endswith("/")} == set()


def test_everything_but_the_reviewed_pages_is_an_api_view() -> None:
    """A plain Django view would skip authentication, permissions and the error contract."""
    plain = {
        path
        for path, pattern in routes()
        if not path.startswith("admin/")
        and not issubclass(
            getattr(pattern.callback, "cls", None) or getattr(pattern.callback, "view_class", object), APIView
        )
    }

    assert {path for path in plain if not path.startswith("checkout")} == {
        "",
        "favicon.ico",
        "api/errors",
        "api/redoc.js",
    }


# --- Log-in -----------------------------------------------------------------------------------------------------------

# What looks at a password or a code, or opens a session, and who may call it besides the module that defines it.
PROVING = {
    "users.passwords.password_matches": {
        "users/log_in.py",  # takes the time of a check for what isn't an address
        "users/management/commands/load_demo.py",  # compares a file of its own with the database
        "users/models/people.py",  # Django's User.check_password
        "users/services/passwords.py",
        "users/services/sessions.py",
    },
    "users.services.sessions.authenticate_password": {"users/log_in.py"},
    "users.services.sessions.open_session": {"users/log_in.py", "users/services/code_log_ins.py"},
    "users.services.sessions.open_admin_session": {"users/log_in.py"},
    "users.services.sessions.authenticate_again": {"users/log_in.py"},
    "users.services.code_log_ins.proved": {"users/log_in.py"},
    "users.services.code_log_ins.log_in": {"users/log_in.py"},
    "users.services.code_log_ins.log_in_agent": set(),
    "users.services.code_log_ins.log_in_client": set(),
    "users.services.passwords.user_id_by_reset_token": {"users/log_in.py"},
    "users.services.passwords.confirm_reset": {"users/log_in.py"},
    "users.services.passwords.change_password": {"users/log_in.py"},
    "users.services.contacts.verify_email": {"users/log_in.py"},
    "users.services.contacts.verify_phone": {"users/log_in.py"},
    "users.services.enrolment.confirm_enrolment": {"users/log_in.py"},
    "users.services.step_up.try_code": {"users/log_in.py"},
    "users.services.second_factor.require": {"users/services/passwords.py", "users/services/sessions.py"},
    "users.services.second_factor.use_code": {"users/services/step_up.py"},
    "users.services.codes.matches": {"users/services/code_log_ins.py"},
    "users.services.codes.consume": {
        "users/services/code_log_ins.py",
        "users/services/contacts.py",
        "users/services/step_up.py",
    },
}
# Evaluated without a count: the token of a reset has 256 random bits, and an address that is none belongs to no one.
UNCOUNTED = {"users.services.passwords.user_id_by_reset_token", "users.passwords.password_matches"}
COUNTS_FIRST = {"_counted", "_second_factor_counted"}


def referred_to(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Nodes with the dotted name of what they refer to in another module, wherever it is imported from."""
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            first, dot, rest = ast.unparse(node).partition(".")
            if first in imported:
                yield node, imported[first] + dot + rest
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def test_a_password_or_code_is_looked_at_through_one_module() -> None:
    """Who adds another way of logging in goes through users.log_in, which counts the attempt first (requirement 9)."""
    found: dict[str, set[str]] = {name: set() for name in PROVING}
    for path, tree in sources():
        for _, name in referred_to(tree):
            if name in PROVING:
                found[name].add(path)

    assert found == PROVING


def test_the_facade_of_identity_offers_no_way_around_the_count() -> None:
    functions = [getattr(import_module(name.rpartition(".")[0]), name.rpartition(".")[2]) for name in PROVING]

    assert [function for function in functions if function in vars(users_services).values()] == []


def test_an_attempt_is_counted_before_a_password_or_code_is_looked_at() -> None:
    """In users.log_in what looks at one is always given to a function that counts and commits before."""
    tree = dict(sources())["users/log_in.py"]
    counted = {
        node
        for call, name in calls(tree)
        if name in COUNTS_FIRST
        for argument in call.args[1:]
        for node in ast.walk(_function(tree, argument))
    }
    uncounted = {
        f"{name}:{node.lineno}"
        for node, name in referred_to(tree)
        if name in PROVING.keys() - UNCOUNTED and isinstance(node, ast.Attribute) and node not in counted
    }

    assert len(counted) > 100
    assert uncounted == set()


def _function(tree: ast.Module, argument: ast.expr) -> ast.AST:
    """A lambda, or the function of this module that a name refers to."""
    named = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return named.get(argument.id, argument) if isinstance(argument, ast.Name) else argument


# --- Files ------------------------------------------------------------------------------------------------------------


def test_env_example_holds_exactly_the_variables_that_the_settings_read() -> None:
    tree = ast.parse((ROOT / "fintech_core" / "settings.py").read_text())
    read = set()
    for node, name in calls(tree):
        first = node.args[0] if node.args else None
        if (
            isinstance(first, ast.Constant)
            and isinstance(first.value, str)
            and re.fullmatch(r"[A-Z][A-Z0-9_]+", first.value)
        ):
            of_env = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "env"
            if of_env or name in {"secret", "env", "key_ring"}:
                read.add(first.value)
    example = (ROOT / ".env.example").read_text()
    written = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE))

    assert {"DATABASE_URL", "SECRET_KEY", "IDEMPOTENCY_HMAC_KEY"} <= read
    assert written == read


def test_env_example_holds_no_secret() -> None:
    for line in (ROOT / ".env.example").read_text().splitlines():
        name, _, value = line.lstrip("# ").partition("=")
        if re.fullmatch(r"[A-Z_]*(KEY|SECRET|PASSWORD|TOKEN)", name):
            assert value.strip() in {"", '""'} or value.startswith(("<", "change", "replace")), name


@pytest.mark.parametrize("name", sorted(path.name for path in ROOT.glob("requirements*")))
def test_requirement_files_are_hashed_and_name_no_index(name: str) -> None:
    text = (ROOT / name).read_text()

    for option in ("--index-url", "--extra-index-url", "--find-links", "--trusted-host", "-i ", "http://", "https://"):
        assert option not in text
    if name.endswith(".txt"):
        pins = re.findall(r"^[A-Za-z0-9][^\s;=]*==", text, re.MULTILINE)
        assert len(pins) > 3
        blocks = re.split(r"\n(?=[A-Za-z0-9])", text)
        assert all("--hash=sha256:" in block for block in blocks if re.match(r"[A-Za-z0-9]", block))


# --- One clock --------------------------------------------------------------------------------------------------------

# Who asks the process what time it is, and why. Everything else asks the database (fintech_core/db/clock.py).
PROCESS_CLOCKS = {
    "fintech_core/limits/counters.py": {
        "time"
    },  # windows of rates: no round trip to the database for each request (ADR 16)
    "fintech_core/ops/health.py": {"now"},  # compares it with the database's
}
_CLOCKS = {
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "timezone": {"now", "localtime", "localdate"},
    "time": {"time", "time_ns", "gmtime", "localtime", "ctime", "strftime"},
}


def test_nothing_asks_the_process_what_time_it_is() -> None:
    found: dict[str, set[str]] = {}
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                of = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
                if node.attr in _CLOCKS.get(of, ()):
                    found.setdefault(path, set()).add(node.attr)
            if isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2] in _CLOCKS:
                names = {alias.name for alias in node.names} & _CLOCKS[(node.module or "").rpartition(".")[2]]
                if names:
                    found.setdefault(path, set()).update(names)

    assert found == PROCESS_CLOCKS


def test_nothing_signed_expires_by_the_clock_of_a_process() -> None:
    """Django's signatures with a time are dated and checked by `time.time()`: what expires has a row with a time."""
    found = {
        f"{path}:{node.lineno}"
        for path, tree in sources()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr == "TimestampSigner")
        or (isinstance(node, ast.ImportFrom) and any(alias.name == "TimestampSigner" for alias in node.names))
        or (isinstance(node, ast.keyword) and node.arg == "max_age")
    }

    assert found == set()


def test_no_column_is_filled_with_the_time_of_a_process() -> None:
    found = {
        f"{path}:{node.lineno}"
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg in {"auto_now", "auto_now_add"}
    }
    defaults = {
        field
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if isinstance(field, DateTimeField) and field.has_default() and model.__module__.partition(".")[0] in ROOMS
    }

    assert (found, defaults) == (set(), set())


# What decides about money and credentials reads the clock itself, after its locks: nobody passes it a time.
DECIDES_BY_TIME = (
    "transactions/ledger/engine.py",
    "transactions/exchange/services/exchanges.py",
    "transactions/holds/services.py",
    "transactions/transfers/services/planning.py",
    "transactions/ledger/services.py",
    "transactions/schedules/services/runs.py",
    "transactions/transfers/services/transfers.py",
    "users/services/codes.py",
    "users/services/step_up.py",
)
TIDIES_UP = {"purge_codes", "purge_challenges"}


def test_what_decides_by_the_time_is_given_none() -> None:
    found = {
        f"{path} {node.name}"
        for path, tree in sources()
        if path in DECIDES_BY_TIME
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and node.name not in TIDIES_UP
        for argument in (*node.args.args, *node.args.kwonlyargs)
        if argument.arg == "now"
    }

    assert found == set()
    assert {path for path, _ in sources()} >= set(DECIDES_BY_TIME)


def test_no_test_module_is_imported_by_another() -> None:
    """What tests share lies in modules of its own, which hold no tests."""
    found = {
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in ROOT.rglob("*.py")
        if not {".venv", ".local", "node_modules"} & set(path.relative_to(ROOT).parts)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and ".tests." in f".{node.module}."
        for name in [node.module, *(alias.name for alias in node.names)]
        if re.search(r"(^|\.)tests\.(\w+\.)*test_\w+$", name) or name.startswith("test_")
    }

    assert found == set()
