"""What the tests of reconciliation share: files in each format, deposits through the one door, runs."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.db.models import Sum

from fintech_core.db import ids
from fintech_core.db.work import unit_of_work
from fintech_core.security.actors import Actor
from reconciliation import selectors, services
from reconciliation.groups import Item
from reconciliation.models import Break, ReconciledAccount, Statement
from tests.cast import clock_at
from transactions.ledger import engine as ledger
from transactions.ledger.enums import TransactionKind
from transactions.ledger.models import LedgerEntry, Transaction
from users.models import User
from wallet.models import Wallet
from wallet.services import open_wallet

FILES = Path(__file__).parent / "files"
ACCOUNT = "clearing:simulator"
SYSTEM = Actor.system("tests")
TODAY = datetime.now(UTC).date()
OLD = TODAY - timedelta(days=10)


def csv_of(*rows: tuple[Any, ...]) -> bytes:
    """(date, amount, reference) each, in USD."""
    lines = ["booking_date,value_date,amount,currency,reference,description"]
    lines += [f"{day},{day},{amount},USD,{reference},text" for day, amount, reference in rows]
    return ("\n".join(lines) + "\n").encode()


def camt_of(
    *entries: str, statement_id: str = "STMT-1", opening: str = "100.00", closing: str = "100.00", version: str = "02"
) -> bytes:
    def balance(code: str, amount: str) -> str:
        return (
            f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy='USD'>{amount.lstrip('-')}</Amt>"
            f"<CdtDbtInd>{'DBIT' if amount.startswith('-') else 'CRDT'}</CdtDbtInd><Dt><Dt>2026-11-02</Dt></Dt></Bal>"
        )

    return (
        "<?xml version='1.0' encoding='UTF-8'?>\n"
        f"<Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}'>"
        f"<BkToCstmrStmt><GrpHdr><MsgId>m</MsgId></GrpHdr><Stmt><Id>{statement_id}</Id>"
        "<Acct><Id><IBAN>DE02120300000000202051</IBAN></Id></Acct>"
        f"{balance('OPBD', opening)}{balance('CLBD', closing)}{''.join(entries)}</Stmt></BkToCstmrStmt></Document>"
    ).encode()


def camt_entry(
    amount: str, reference: str, *, bank: str = "", status: str = "BOOK", indicator: str = "CRDT", ccy: str = "USD"
) -> str:
    return (
        f"<Ntry><Amt Ccy='{ccy}'>{amount}</Amt><CdtDbtInd>{indicator}</CdtDbtInd><Sts>{status}</Sts>"
        "<BookgDt><Dt>2026-11-02</Dt></BookgDt><ValDt><DtTm>2026-11-03T01:00:00+02:00</DtTm></ValDt>"
        f"<AcctSvcrRef>{bank}</AcctSvcrRef><NtryDtls><TxDtls><Refs><EndToEndId>{reference}</EndToEndId></Refs></TxDtls>"
        "</NtryDtls><AddtlNtryInf>a  payment</AddtlNtryInf></Ntry>"
    )


MT940 = b"""{1:F01BANKDEFFXXXX0000000000}{2:I940BANKDEFFXXXXN}{4:
:20:STARTUMS
:25:10020030/1234567
:28C:00001/001
:60F:C261101USD100,00
:61:2611021103C25,00NTRFsim_1//BANK-1
supplementary
:86:166?00first part
second part
:61:261102D0005,5NCHGNONREF
:61:261231 0101RC1,NTRFsim_2
:62F:C261103USD118,50
:64:C261103USD118,50
-}
""".replace(b"261231 0101", b"2612310101")


def import_(
    raw: bytes,
    *,
    format: str = "csv",
    currency: str = "USD",
    actor: Actor = SYSTEM,
    confirm_account: bool = True,
    confirm_repeat: bool = False,
    **balances: Decimal,
) -> list[Statement]:
    file = services.read_statements(format=format, raw=raw, currency=currency, **balances)
    return unit_of_work(
        lambda: services.import_statements(
            actor=actor,
            account_code=ACCOUNT,
            file=file,
            now=datetime.now(UTC),
            confirm_account=confirm_account,
            confirm_repeat=confirm_repeat,
        )
    )


FORMATS = {".sta": "mt940", ".xml": "camt053", ".csv": "csv"}


def raw_file(name: str) -> bytes:
    """A bank's file of reconciliation/tests/files."""
    return (FILES / name).read_bytes()


def import_file(name: str, currency: str = "EUR", **options: bool) -> list[Statement]:
    return import_(raw_file(name), format=FORMATS[Path(name).suffix], currency=currency, **options)


def account(currency: str = "USD") -> ReconciledAccount:
    found = selectors.reconciled_account(ACCOUNT, currency)
    assert found is not None
    return found


def reconcile(*, until: date | None = None, now: datetime | None = None, currency: str = "USD") -> services.RunReport:
    return unit_of_work(
        lambda: services.reconcile_account(
            actor=SYSTEM, account_id=account(currency).pk, now=now or datetime.now(UTC), until=until
        )
    )


def deposit(
    user: User, amount: str, reference: str | None = None, *, day: date = OLD, currency: str = "USD"
) -> LedgerEntry:
    """Money from the gateway to a customer, at noon of `day`. Returns the entry on the clearing account.

    Call with days that don't go back: `posted_at` never decreases along a wallet.
    """
    wallet = Wallet.objects.filter(owner_user=user, currency=currency).first() or unit_of_work(
        lambda: open_wallet(actor=SYSTEM, owner_user_id=user.pk, currency=currency, now=datetime.now(UTC))
    )
    leg = ledger.Leg(ledger.SystemAccount(ACCOUNT, currency), wallet.pk, Decimal(amount), currency)
    posting = ledger.Posting(
        kind=TransactionKind.DEPOSIT,
        legs=(leg,),
        reference=f"simulator:{reference}" if reference else None,
    )
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    with clock_at(at):
        posted = unit_of_work(lambda: ledger.post_one(posting, actor=SYSTEM))
    return LedgerEntry.objects.get(transaction=posted, wallet__account_code=ACCOUNT)


def breaks() -> list[tuple[str, str]]:
    """(class, difference) of the unresolved ones, sorted."""
    rows = Break.objects.exclude(status="RESOLVED").values_list("break_class", "difference")
    return sorted((name, f"{difference:.2f}") for name, difference in rows)


def books() -> tuple[int, Decimal, Decimal, Decimal]:
    """Transactions, and the balances of clearing, suspense and fees."""

    def balance(code: str) -> Decimal:
        rows = Wallet.objects.filter(account_code=code, currency="USD").aggregate(total=Sum("balance"))
        return rows["total"] or Decimal(0)

    return Transaction.objects.count(), balance(ACCOUNT), balance("suspense"), balance("fees")


def item(amount: str, reference: str = "", *, day: int = 0, due: bool = True, settles: bool = True) -> Item:
    return Item(ids.uuid7(), OLD + timedelta(days=day), Decimal(amount), reference, due, settles)


def amounts(items: Sequence[Item]) -> list[str]:
    return [str(found.amount) for found in items]
