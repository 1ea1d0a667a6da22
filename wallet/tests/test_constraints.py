"""What the database refuses of wallets, attacked by raw SQL as both roles.

See docs/ledger.md, Guarantees and what holds them.
"""

import uuid
from decimal import Decimal
from typing import Any

import pytest
from psycopg import sql

from tests.forge import ENTRIES, NOW, TRANSACTIONS, WALLETS, Forge, Move, Scene, genesis

REFUSED = "23514"
FIGURES = "wallet_figures"


# --- Birth ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "money",
    [
        {"balance": 1},
        {"balance": Decimal("0.00000001")},
        {"balance": -1, "floor": -10},
        {"held": 1, "floor": -10},
        {"sequence": 1},
        {"sequence": -1},
        {"head": b"\0" * 32},
        {"head": b""},
        {"head": genesis(uuid.uuid4())},
        {"last_posted_at": NOW},
        {"status": "FROZEN"},
        {"status": "CLOSED"},
    ],
    ids=lambda money: "-".join(money),
)
def test_a_wallet_is_inserted_empty(forge: Forge, money: dict[str, Any]) -> None:
    with forge.refused(REFUSED, "is not created empty", constraint="wallet_created_empty"):
        forge.wallet(**money)


def test_a_wallet_inserted_with_a_balance_among_empty_ones_is_found(forge: Forge) -> None:
    rows = [forge.wallet_row(), forge.wallet_row(balance=5), forge.wallet_row()]

    with forge.refused(REFUSED, "is not created empty", constraint="wallet_created_empty"):
        forge.insert(WALLETS, rows)
    with forge.refused(REFUSED, "is not created empty", constraint="wallet_created_empty"):
        forge("CREATE TEMP TABLE loot (LIKE public.wallet_wallet)")
        forge.insert("loot", rows)
        forge("INSERT INTO wallet_wallet SELECT * FROM loot ON CONFLICT DO NOTHING")


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ({"balance": Decimal("NaN")}, ""),
        ({"held": Decimal("NaN")}, ""),
        ({"floor": Decimal("NaN")}, "wallet_above_floor"),
        ({"floor": 1}, "wallet_above_floor"),
        ({"floor": None}, "wallet_floor_unless_system"),
        ({"exponent": 9}, "wallet_exponent_fits"),
        ({"status": "OPEN"}, "wallet_status_known"),
        ({"account_code": "fees"}, ""),
        ({"account_code": "fees", "floor": None}, "wallet_one_owner"),
        ({"owner_user_id": None}, "wallet_one_owner"),
        ({"owner_organization_id": uuid.uuid4()}, "wallet_one_owner"),
        ({"created_at": "infinity"}, "wallet_times_finite"),
    ],
    ids=str,
)
def test_a_wallet_is_inserted_by_the_rules(forge: Forge, change: dict[str, Any], constraint: str) -> None:
    with forge.refused(REFUSED, constraint=constraint):
        forge.insert(WALLETS, [forge.wallet_row() | change])


def test_a_user_has_one_open_wallet_in_a_currency(stage: Scene) -> None:
    with stage.forge.refused("23505", constraint="wallet_one_per_user_and_currency"):
        stage.forge.wallet(stage.bob)
    stage.forge("UPDATE wallet_wallet SET status = 'CLOSED' WHERE id = %s", [stage.bobs])
    stage.forge.wallet(stage.bob)

    assert stage.forge.one("SELECT count(*) FROM wallet_wallet WHERE owner_user_id = %s", [stage.bob]) == 2


def test_an_organization_has_one_open_wallet_in_a_currency(forge: Forge) -> None:
    organization = forge.organization()
    own = {"owner_user_id": None, "owner_organization_id": organization}
    first = forge.wallet_row(uuid.uuid4(), **own)
    forge.insert(WALLETS, [first])

    with forge.refused("23505", constraint="wallet_one_per_organization_and_currency"):
        forge.insert(WALLETS, [forge.wallet_row(uuid.uuid4(), **own)])
    forge("UPDATE wallet_wallet SET status = 'CLOSED' WHERE id = %s", [first["id"]])
    forge.insert(WALLETS, [forge.wallet_row(uuid.uuid4(), **own)])

    assert forge.one("SELECT count(*) FROM wallet_wallet WHERE owner_organization_id = %s", [organization]) == 2


def test_a_wallet_of_an_unknown_owner_is_refused(forge: Forge) -> None:
    own = {"owner_user_id": None, "owner_organization_id": uuid.uuid4()}

    with forge.refused("23503"):
        forge.insert(WALLETS, [forge.wallet_row(uuid.uuid4(), **own)])
        forge("SET CONSTRAINTS ALL IMMEDIATE")


def test_a_persons_wallet_does_not_become_an_organizations(stage: Scene) -> None:
    organization = stage.forge.organization(stage.alice)

    with stage.forge.owner_only(REFUSED, "identity never changes", constraint=FIGURES):
        stage.forge(
            "UPDATE wallet_wallet SET owner_user_id = NULL, owner_organization_id = %s WHERE id = %s",
            [organization, stage.alices],
        )


def test_a_lane_exists_once(forge: Forge) -> None:
    lane = forge.wallet_now(forge.lane())

    with forge.refused("23505", constraint="wallet_one_per_lane"):
        duplicate = {"owner_user_id": None, "account_code": lane["account_code"], "floor": None, "lane": lane["lane"]}
        forge.insert(WALLETS, [forge.wallet_row(uuid.uuid4(), **duplicate)])


# --- Figures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "balance = balance + 1",
        "balance = 0",
        "balance = -1, floor = -2",
        "balance = 'NaN', floor = 0",
        "sequence = sequence + 1",
        "sequence = 0",
        "head = 'x'",
        "last_posted_at = NULL",
        "last_posted_at = last_posted_at + interval '1 second'",
        "balance = 1000000, sequence = sequence + 1",
        "held = 5",
        "held = -5",
        "held = 'NaN'",
    ],
)
def test_no_figure_of_a_wallet_is_updated_by_hand(stage: Scene, change: str) -> None:
    with stage.forge.owner_only(REFUSED):
        stage.forge(f"UPDATE wallet_wallet SET {change} WHERE id = %s", [stage.alices])


@pytest.mark.parametrize("column", ["balance", "held", "sequence", "head", "last_posted_at"])
def test_the_app_has_no_right_to_write_a_figure_not_even_its_own_value(app: Forge, column: str) -> None:
    with app.refused("42501"):
        app(sql.SQL("UPDATE wallet_wallet SET {0} = {0}").format(sql.Identifier(column)))


def test_figures_do_not_go_back_to_an_older_entry(stage: Scene) -> None:
    stage.forge.post(stage.transfer("100.00"), source_owner=stage.alice)

    with stage.forge.owner_only(REFUSED, constraint=FIGURES):
        stage.forge(
            "UPDATE wallet_wallet w SET balance = e.balance_after, sequence = e.sequence, head = e.hash,"
            " last_posted_at = e.posted_at FROM transactions_ledgerentry e"
            " WHERE e.wallet_id = w.id AND w.id = %s AND e.sequence = 1",
            [stage.alices],
        )


def test_figures_are_not_taken_from_another_wallets_entry(stage: Scene) -> None:
    with stage.forge.owner_only(REFUSED, constraint=FIGURES):
        stage.forge(
            "UPDATE wallet_wallet w SET balance = e.balance_after, sequence = e.sequence, head = e.hash,"
            " last_posted_at = e.posted_at FROM transactions_ledgerentry e WHERE e.wallet_id = %s AND w.id = %s",
            [stage.alices, stage.bobs],
        )


def test_money_made_up_between_two_wallets_is_refused_though_the_sum_stays(stage: Scene) -> None:
    with stage.forge.owner_only(REFUSED, constraint=FIGURES):
        stage.forge(
            "UPDATE wallet_wallet SET balance = CASE id WHEN %s THEN 0 ELSE 100 END WHERE id = ANY(%s)",
            [stage.alices, [stage.alices, stage.bobs]],
        )


def test_figures_and_entries_written_by_one_command_are_each_checked(stage: Scene) -> None:
    """The entries follow figures that the same command made up: whichever trigger comes first, one refuses."""
    forge = stage.forge
    transaction = forge.transaction_row(source_owner=stage.bob)
    forge.insert(TRANSACTIONS, [transaction])
    forge("CREATE TEMP TABLE loot (LIKE public.transactions_ledgerentry) ON COMMIT DROP")
    rows = forge.entry_rows(transaction, [Move(stage.bobs, "-10.00"), Move(stage.alices, "10.00")])
    forge.insert("loot", rows)
    columns = ", ".join(rows[0])

    for figures in ("balance = 1000", f"balance = 1000, sequence = 1, head = '\\x{'00' * 32}'"):
        with forge.owner_only(REFUSED):
            forge(
                f"WITH rich AS (UPDATE wallet_wallet SET {figures} WHERE id = %s RETURNING id)"
                f" INSERT INTO transactions_ledgerentry ({columns}) SELECT {columns} FROM loot",
                [stage.bobs],
            )


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", uuid.uuid4()),
        ("owner_user_id", uuid.uuid4()),
        ("owner_user_id", None),
        ("owner_organization_id", uuid.uuid4()),
        ("account_code", "fees"),
        ("lane", 7),
        ("currency", "EUR"),
        ("exponent", 8),
        ("created_at", NOW.replace(year=2000)),
    ],
    ids=str,
)
def test_the_identity_of_a_wallet_never_changes(stage: Scene, column: str, value: Any) -> None:
    with stage.forge.owner_only(REFUSED):
        stage.forge(
            sql.SQL("UPDATE wallet_wallet SET {} = %s WHERE id = %s").format(sql.Identifier(column)),
            [value, stage.alices],
        )


def test_a_customers_wallet_does_not_become_the_systems(stage: Scene) -> None:
    with stage.forge.owner_only(REFUSED, "identity never changes", constraint=FIGURES):
        stage.forge(
            "UPDATE wallet_wallet SET owner_user_id = NULL, account_code = 'fees', floor = NULL, lane = 99"
            " WHERE id = %s",
            [stage.alices],
        )


def test_every_column_of_a_wallet_is_guarded(owner: Forge) -> None:
    """A column added later must be thought about: this list fails then."""
    columns = owner("SELECT column_name FROM information_schema.columns WHERE table_name = 'wallet_wallet'")

    identity = {"id", "account_code", "lane", "currency", "exponent", "created_at"}
    owners = {"owner_user_id", "owner_organization_id"}
    figures = {"balance", "held", "sequence", "head", "last_posted_at"}
    assert {name for (name,) in columns} == identity | owners | figures | {"status", "floor", "maximum_balance"}


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (["FROZEN"], True),
        (["FROZEN", "ACTIVE"], True),
        (["CLOSED"], True),
        (["FROZEN", "CLOSED"], False),
        (["CLOSED", "ACTIVE"], False),
        (["CLOSED", "FROZEN"], False),
    ],
    ids=str,
)
def test_the_map_of_states_holds(stage: Scene, path: list[str], allowed: bool) -> None:
    update = "UPDATE wallet_wallet SET status = %s WHERE id = %s"
    for status in path[:-1]:
        stage.forge(update, [status, stage.bobs])

    if allowed:
        stage.forge(update, [path[-1], stage.bobs])
        assert stage.forge.wallet_now(stage.bobs)["status"] == path[-1]
    else:
        with stage.forge.refused(REFUSED, "state map forbids", constraint=FIGURES):
            stage.forge(update, [path[-1], stage.bobs])


def test_a_wallet_with_money_or_holds_is_not_closed(stage: Scene) -> None:
    with stage.forge.refused(REFUSED, constraint="wallet_closed_is_empty"):
        stage.forge("UPDATE wallet_wallet SET status = 'CLOSED' WHERE id = %s", [stage.alices])
    stage.forge("UPDATE wallet_wallet SET floor = -10 WHERE id = %s", [stage.bobs])
    stage.forge.hold(stage.bobs, "1.00")
    with stage.forge.refused(REFUSED, constraint="wallet_closed_is_empty"):
        stage.forge("UPDATE wallet_wallet SET status = 'CLOSED' WHERE id = %s", [stage.bobs])


@pytest.mark.parametrize("floor", ["100.01", "NaN"])
def test_the_floor_does_not_rise_above_what_is_available(stage: Scene, floor: str) -> None:
    with stage.forge.refused(REFUSED, constraint="wallet_above_floor"):
        stage.forge("UPDATE wallet_wallet SET floor = %s WHERE id = %s", [Decimal(floor), stage.alices])


def test_a_wallet_is_never_deleted(stage: Scene) -> None:
    stage.forge.check_deferred()

    for statement in (
        "DELETE FROM wallet_wallet",
        "DELETE FROM wallet_wallet WHERE false",
        "TRUNCATE wallet_wallet CASCADE",
    ):
        with stage.forge.owner_only(REFUSED, "never deleted"):
            stage.forge(statement)


def test_an_upsert_and_a_merge_change_no_figure(stage: Scene) -> None:
    row = stage.forge.wallet_row(stage.bob)

    with stage.forge.owner_only(REFUSED):
        columns, marks = ", ".join(row), ", ".join(["%s"] * len(row))
        stage.forge(
            f"INSERT INTO wallet_wallet ({columns}) VALUES ({marks})"
            " ON CONFLICT (owner_user_id, currency) WHERE status <> 'CLOSED' DO UPDATE SET balance = 5",
            list(row.values()),
        )
    with stage.forge.owner_only(REFUSED):
        stage.forge(
            "MERGE INTO wallet_wallet w USING (SELECT %s::uuid AS id) t ON w.id = t.id"
            " WHEN MATCHED THEN UPDATE SET balance = 5",
            [stage.bobs],
        )


def test_inv3_after_all_that_every_currency_still_adds_up_to_zero(stage: Scene) -> None:
    stage.forge.post(stage.transfer(), source_owner=stage.alice)

    assert stage.forge("SELECT currency FROM wallet_wallet GROUP BY currency HAVING sum(balance) <> 0").fetchall() == []
    assert stage.forge.one(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(ENTRIES))) >= 4
