"""docs/reserved.md against the code: what is there ahead of its use is listed, and nothing else is."""

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.db.models import TextChoices
from drf_spectacular.generators import SchemaGenerator

from fintech_core.wiring import wired
from tests.source_code import sources
from transactions.ledger.accounts import PLATFORM_CODES
from transactions.ledger.enums import TransactionKind
from users.enums import KycGate, KycStatus
from users.scopes import SCOPES

PAGE = (Path(settings.BASE_DIR) / "docs" / "reserved.md").read_text(encoding="utf-8")
# Modules that declare, show or look for a state, and write none.
DECLARE_OR_READ = {
    "admin",
    "checks",
    "enums",
    "locks",
    "models",
    "pages",
    "selectors",
    "serializers",
    "triggers",
    "views",
}
# Written by its value, so that the source doesn't name it.
WRITTEN_BY_VALUE = {"IntentStatus.REFUNDED"}  # from the Resolution of a review


def reserved(heading: str) -> set[str]:
    """The names in the first column of the table below a heading."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return {
        name for row in re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE) for name in re.findall(r"`(.+?)`", row)
    }


def machines() -> Iterator[type[TextChoices]]:
    """The kinds of transactions, and every enumeration that has a map of transitions."""
    yield from (TransactionKind, KycStatus)
    for path, _ in sources():
        if path.endswith("/enums.py") or "/enums/" in path:
            module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
            for name, value in vars(module).items():
                if name.endswith("TRANSITIONS") and isinstance(value, Mapping):
                    yield type(next(iter(value)))


def declares_or_reads(path: str) -> bool:
    return any(part in DECLARE_OR_READ or part.endswith("_triggers") for part in path.removesuffix(".py").split("/"))


def named(tree: ast.AST, *, in_function: bool = False) -> Iterator[str]:
    """`Enum.MEMBER` in a module, but for comparisons and for sets that functions compare with."""
    if isinstance(tree, ast.Compare) or (isinstance(tree, ast.Set) and not in_function):
        return
    if isinstance(tree, ast.Attribute) and isinstance(tree.value, ast.Name | ast.Attribute):
        of = tree.value.id if isinstance(tree.value, ast.Name) else tree.value.attr
        yield f"{of}.{tree.attr}"
    for node in ast.iter_child_nodes(tree):
        yield from named(node, in_function=in_function or isinstance(tree, ast.FunctionDef | ast.Lambda))


def test_kinds_and_states_that_are_never_written_are_listed() -> None:
    listed = {f"{cls.__name__}.{member.name}" for cls in machines() for member in cls}
    fields = [field for model in apps.get_models() for field in model._meta.concrete_fields]
    defaults = {f"{type(f.default).__name__}.{f.default.name}" for f in fields if isinstance(f.default, Enum)}
    written = {name for path, tree in sources() if not declares_or_reads(path) for name in named(tree)}

    unwritten = listed - written - defaults - WRITTEN_BY_VALUE

    assert len(listed) > 50
    assert reserved("Kinds and states that are never written") == unwritten


def test_scopes_without_routes_are_listed() -> None:
    assert reserved("Scopes without routes") == {scope.value for scope, brings in SCOPES.items() if not brings}


def test_system_accounts_without_postings_are_listed() -> None:
    constants: dict[str, str] = {}
    arguments: set[str] = set()
    for _, tree in sources():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                constants.update(
                    {target.id: node.value.value for target in node.targets if isinstance(target, ast.Name)}
                )
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("SystemAccount"):
                inside = [part for argument in node.args for part in ast.walk(argument)]
                arguments |= {part.value for part in inside if isinstance(part, ast.Constant)}
                arguments |= {part.id for part in inside if isinstance(part, ast.Name)}
                arguments |= {part.attr for part in inside if isinstance(part, ast.Attribute)}
    posted = {constants.get(argument, argument) for argument in arguments}

    assert reserved("System accounts without postings") == set(PLATFORM_CODES) - posted


def test_kyc_gates_that_nothing_asks_are_listed() -> None:
    asked = {name for path, tree in sources() if not declares_or_reads(path) for name in named(tree)}

    unasked = {gate.value for gate in KycGate if f"KycGate.{gate.name}" not in asked}
    assert reserved("KYC gates that nothing asks") == unasked


def test_fields_that_are_always_empty_are_in_the_answers() -> None:
    """That they are empty is asserted where dry runs are tested."""
    components = SchemaGenerator().get_schema(request=None, public=True)["components"]["schemas"]
    dry_runs = [schema for name, schema in components.items() if "screening" in schema.get("properties", {})]

    assert len(dry_runs) >= 3
    assert all(reserved("Fields of answers that are always empty") <= set(schema["properties"]) for schema in dry_runs)


def test_the_outbox_has_no_consumer_while_the_list_says_so() -> None:
    assert ("`outbox_consumers` is empty" in PAGE) == (not wired().outbox_consumers)
