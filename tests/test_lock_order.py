"""The lock order of ARCHITECTURE.md against the code: which functions lock, and that services lock in this order.

The services are followed statically: the calls of a function in the order of the source, into every function of ours
that can be told by its name. Branches count as if one came after the other, so a row that is locked already may be
locked again.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings

from tests.source_code import is_of_locks, is_service, sources

SECTION = re.compile(r"^## Lock order$(.*?)^## ", re.MULTILINE | re.DOTALL)
RANK = re.compile(r"^\| (\d+) \| [^|]+ \| ([^|]*)\|$", re.MULTILINE)
ELSEWHERE = re.compile(r"^\| [a-z][^|]+ \| ([^|]+) \|$", re.MULTILINE)
SQL = re.compile(r"\bFOR (?:NO KEY UPDATE|UPDATE|SHARE|KEY SHARE)\b|\bpg_(?:try_)?advisory|\bLOCK TABLE\b")


@dataclass(frozen=True)
class Locked:
    rank: int
    name: str
    line: str


@cache
def section() -> str:
    text = (Path(settings.BASE_DIR) / "ARCHITECTURE.md").read_text(encoding="utf-8")
    found = SECTION.search(text)
    assert found
    return found[1]


@cache
def ranks() -> Mapping[str, int]:
    """Lock function → rank, as the table says."""
    listed = [(n, int(rank)) for rank, cell in RANK.findall(section()) for n in re.findall(r"`(lock_\w+)`", cell)]
    assert len(listed) == len(dict(listed))  # each is named once
    return dict(listed)


@cache
def functions() -> Mapping[str, list[tuple[str, ast.FunctionDef]]]:
    """Every function at the top of a module, by its name."""
    found: dict[str, list[tuple[str, ast.FunctionDef]]] = defaultdict(list)
    for path, tree in sources():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                found[node.name].append((path, node))
    return found


def called(node: ast.Call, path: str) -> tuple[str, list[tuple[str, ast.FunctionDef]]]:
    """The name that is called, and the functions of ours that it may be."""
    if isinstance(node.func, ast.Attribute):
        module = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
        among = functions().get(node.func.attr, [])
        fitting = [f for f in among if module and (f"/{module}.py" in f[0] or f"/{module}/" in f[0])]
        return node.func.attr, fitting or (among if module.endswith("services") else [])
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    among = functions().get(name, [])
    return name, [f for f in among if f[0] == path] or among


def locked_by(function: ast.FunctionDef, path: str, within: tuple[str, ...] = ()) -> Iterator[Locked]:
    """What a function locks, in the order of the source, with what the functions that it calls lock."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    for node in sorted(calls, key=lambda call: (call.end_lineno or 0, call.end_col_offset or 0)):
        name, candidates = called(node, path)
        if name in ranks():
            yield Locked(ranks()[name], name, f"{path}:{node.lineno}")
        elif name not in within and len(candidates) == 1:
            yield from locked_by(candidates[0][1], candidates[0][0], (*within, name))


def out_of_order(locks: list[Locked]) -> list[str]:
    """Locks of a lower rank than one before, of a rank that wasn't locked before."""
    seen: list[Locked] = []
    wrong = []
    for lock in locks:
        later = [one for one in seen if one.rank > lock.rank]
        if later and lock.rank not in {one.rank for one in seen}:
            wrong.append(f"{lock.name} at {lock.line} after {later[0].name} at {later[0].line}")
        seen.append(lock)
    return wrong


def test_every_lock_function_has_a_rank() -> None:
    public = {
        node.name
        for path, tree in sources()
        if is_of_locks(path)
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }

    assert set(ranks()) == public


def test_ranks_are_numbered_in_their_order() -> None:
    numbers = [int(rank) for rank, _ in RANK.findall(section())]

    assert numbers == list(range(1, len(numbers) + 1))


def test_services_lock_in_the_order_of_the_table() -> None:
    flows = {
        f"{path}:{node.name}": list(locked_by(node, path, (node.name,)))
        for path, tree in sources()
        if is_service(path)
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }

    assert {name: wrong for name, locks in flows.items() if (wrong := out_of_order(locks))} == {}
    assert len([locks for locks in flows.values() if len({lock.rank for lock in locks}) > 1]) > 15


def test_the_calls_of_a_service_are_followed() -> None:
    [(path, erase_user)] = functions()["erase_user"]

    names = [lock.name for lock in locked_by(erase_user, path)]

    assert names == ["lock_transfer_schedules", "lock_user", "lock_wallets"]


def test_a_wallet_that_is_locked_before_its_owner_is_found() -> None:
    tree = ast.parse(
        "def wrong():\n    lock_wallets([wallet_id])\n    lock_user(user_id)\n    lock_wallets([wallet_id])\n"
    )
    [wrong] = tree.body
    assert isinstance(wrong, ast.FunctionDef)

    assert out_of_order(list(locked_by(wrong, "made-up"))) == ["lock_user at made-up:3 after lock_wallets at made-up:2"]


def test_rows_are_locked_in_locks_alone_but_for_what_the_table_names() -> None:
    found = {
        function.name
        for path, tree in sources()
        if not is_of_locks(path)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and node.attr == "select_for_update"
    }
    listed = {name for cell in ELSEWHERE.findall(section()) for name in re.findall(r"`(\w+)`", cell)}

    assert found == listed


def test_sql_that_locks_is_in_locks_and_triggers() -> None:
    found = {
        path
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.search(node.value)
    }
    triggers = {path for path, tree in sources() if "SealedTrigger" in ast.dump(tree)}

    assert {path for path in found if not is_of_locks(path)} - triggers == set()
