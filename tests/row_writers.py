"""Whose rows a module writes, read off the source: which model stands behind `rows.update(...)`, `row.save(...)` and
the tables named in SQL. The types come from annotations, constructors, managers and foreign keys."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model

from tests.source_code import sources

MANAGERS = {"objects", "_base_manager", "_default_manager"}
WRITES = {
    "bulk_create", "bulk_update", "create", "delete", "get_or_create", "save", "update", "update_or_create",
}  # fmt: skip
PASS_ON = {"dict", "iter", "list", "next", "set", "sorted", "tuple"}
SQL = re.compile(
    r"\b(?:INSERT INTO|UPDATE|DELETE FROM|TRUNCATE(?: TABLE)?|MERGE INTO)\s+(?:ONLY\s+)?\"?([a-z]\w*)", re.I
)


@dataclass(frozen=True, slots=True)
class Write:
    """`model` is None where the source doesn't tell."""

    path: str
    line: int
    code: str
    model: type[Model] | None


@cache
def models() -> Mapping[str, type[Model]]:
    """All models by name, Django's own among them."""
    return {model.__name__: model for model in apps.get_models()}


@cache
def tables() -> Mapping[str, type[Model]]:
    return {model._meta.db_table: model for model in models().values()}


def mentioned(annotation: ast.AST | None) -> type[Model] | None:
    """The one model that an annotation names, in whatever container."""
    text = ast.unparse(annotation) if annotation is not None else ""
    found = {name for name in re.findall(r"\w+", text) if name in models()}
    return models()[found.pop()] if len(found) == 1 else None


def returns(tree: ast.Module) -> Iterator[tuple[str, type[Model]]]:
    """The functions of a module whose annotation says that they return rows of one model."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and (model := mentioned(node.returns)) is not None:
            yield node.name, model


@cache
def returned() -> Mapping[str, type[Model] | None]:
    """What functions return, by name; None where two of one name return rows of different models."""
    found: dict[str, type[Model] | None] = {}
    for _, tree in sources():
        for name, model in returns(tree):
            found[name] = model if found.get(name, model) is model else None
    return found


class Scope:
    """The models of the names in one function (or of a statement outside of any)."""

    def __init__(self, tree: ast.AST, of_module: Mapping[str, type[Model]]) -> None:
        self.of_module = of_module
        self.names: dict[str, type[Model]] = {}
        for _ in range(3):  # assignments may use later ones (loops, comprehensions)
            for node in ast.walk(tree):
                self._bind(node)

    def _bind(self, node: ast.AST) -> None:
        if isinstance(node, ast.arg):
            self._name(node, mentioned(node.annotation))
        elif isinstance(node, ast.AnnAssign):
            self._name(node.target, mentioned(node.annotation))
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self._assign(target, node.value)
        elif isinstance(node, ast.NamedExpr):
            self._assign(node.target, node.value)
        elif isinstance(node, ast.For | ast.comprehension):
            self._assign(node.target, node.iter)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple):
            values = value.elts if isinstance(value, ast.Tuple) else [value] * len(target.elts)
            for one, its in zip(target.elts, values, strict=False):
                self._name(one, self.model_of(its))
        else:
            self._name(target, self.model_of(value))

    def _name(self, target: ast.AST, model: type[Model] | None) -> None:
        name = target.arg if isinstance(target, ast.arg) else getattr(target, "id", None)
        if name is not None and model is not None:
            self.names.setdefault(name, model)

    def model_of(self, node: ast.AST) -> type[Model] | None:
        if isinstance(node, ast.Name):
            return self.names.get(node.id) or models().get(node.id)
        if isinstance(node, ast.Attribute):
            return self._attribute(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.NamedExpr | ast.Starred | ast.Subscript):
            return self.model_of(node.value)
        if isinstance(node, ast.BoolOp):
            return next(filter(None, map(self.model_of, node.values)), None)
        if isinstance(node, ast.BinOp):
            return self.model_of(node.left) or self.model_of(node.right)
        if isinstance(node, ast.IfExp):
            return self.model_of(node.body) or self.model_of(node.orelse)
        if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp):
            return self.model_of(node.elt)
        if isinstance(node, ast.List | ast.Tuple | ast.Set) and node.elts:
            return self.model_of(node.elts[0])
        return None

    def _attribute(self, node: ast.Attribute) -> type[Model] | None:
        if node.attr in MANAGERS:
            return self.model_of(node.value)
        owner = self.model_of(node.value)
        if owner is None:
            return models().get(node.attr)
        try:
            related = owner._meta.get_field(node.attr).related_model
        except FieldDoesNotExist:
            related = next(
                (r.related_model for r in owner._meta.related_objects if r.get_accessor_name() == node.attr), None
            )
        return related if isinstance(related, type) else None

    def _call(self, node: ast.Call) -> type[Model] | None:
        function = node.func
        if isinstance(function, ast.Name):
            known = models().get(function.id) or self.of_module.get(function.id) or returned().get(function.id)
            return known or (self.model_of(node.args[0]) if function.id in PASS_ON and node.args else None)
        if isinstance(function, ast.Attribute):
            return self.model_of(function.value) or returned().get(function.attr) or models().get(function.attr)
        return None


def functions(tree: ast.Module) -> Iterator[ast.AST]:
    """The functions and methods of a module, and its other statements."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from node.body
        else:
            yield node


def orm_writes(path: str, tree: ast.Module) -> Iterator[Write]:
    of_module = dict(returns(tree))
    for function in functions(tree):
        scope = Scope(function, of_module)
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITES:
                if node.func.attr == "update" and node.args:
                    continue  # a dictionary's, a set's or a digest's: a queryset's takes keywords alone
                yield Write(path, node.lineno, ast.unparse(node), scope.model_of(node.func.value))


def sql_writes(path: str, tree: ast.Module) -> Iterator[Write]:
    """In constants and f-strings alike: table names are spelled out everywhere but in `insert_statement`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for table in SQL.findall(node.value):
                if table in tables():
                    yield Write(path, node.lineno, table, tables()[table])
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("insert_statement"):
            table = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else ""
            yield Write(path, node.lineno, ast.unparse(node), tables().get(str(table)))


def writes(path: str, tree: ast.Module) -> Iterator[Write]:
    yield from orm_writes(path, tree)
    yield from sql_writes(path, tree)
