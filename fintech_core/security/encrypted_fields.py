"""Model fields for personal data: encrypted columns that read as plain text, and the blind indexes that find them.

A model spells them out:

    email = EncryptedTextField(null=True)
    email_index_a = BlindIndexField(source="email", slot="a")
    email_index_b = BlindIndexField(source="email", slot="b")

The attribute is the text; the column holds the ciphertext of `crypto.encrypt`, opened when the attribute is first read.
A value is written by `save()`, `create()` and `bulk_create()` alone: the ciphertext is bound to the row's key.

A blind index has two columns, one for keys with an odd id and one for those with an even id. While the index keys
rotate, a row that is written gets its digest under both keys, and both columns are unique: an old row and a new one
can't hold the same address. Look-ups go by both, too: processes that have one of the keys alone may be writing as well.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any, cast

import structlog
from django.db import models
from django.db.models.expressions import Col
from django.db.models.query_utils import DeferredAttribute

from fintech_core.security import crypto

if TYPE_CHECKING:  # the type checker is to see what the attribute reads as
    _Column = models.TextField
    _Lookup = models.Lookup[Any]
else:
    _Column = models.BinaryField
    _Lookup = models.Lookup


logger = structlog.get_logger(__name__)


class Sealed:
    """A ciphertext as it came from the database. Shows nothing of itself."""

    __slots__ = ("token",)

    def __init__(self, token: bytes) -> None:
        self.token = token

    def __repr__(self) -> str:
        return "<sealed>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sealed) and other.token == self.token

    def __hash__(self) -> int:
        return hash(self.token)


class _Opened(DeferredAttribute):
    """Opens the ciphertext at the first read. A data descriptor, so that it is asked at every read."""

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        if instance is None:
            return self
        value = super().__get__(instance, cls) if self._name not in instance.__dict__ else instance.__dict__[self._name]
        if isinstance(value, Sealed):
            value = cast("EncryptedTextField[Any, Any]", self.field).opened(value.token, instance)
            instance.__dict__[self._name] = value
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self._name] = value

    @property
    def _name(self) -> str:
        return str(self.field.attname)


class EncryptedTextField(_Column):
    """A text, or None where `null=True`. With `empty=True` it is never None: NULL in the column is the empty text."""

    descriptor_class = _Opened
    description = "Encrypted text"

    def __init__(self, *args: Any, empty: bool = False, **kwargs: Any) -> None:
        self.empty = empty
        if empty:
            kwargs["null"] = True
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "empty": True} if self.empty else kwargs

    def get_default(self) -> Any:
        return "" if self.empty else super().get_default()

    def place_of(self, instance: models.Model) -> str:
        """Where the value belongs; part of what the ciphertext authenticates."""
        return f"{instance._meta.db_table}.{self.column}:{instance.pk}"

    def opened(self, token: bytes, instance: models.Model) -> Any:
        try:
            return self.from_text(crypto.decrypt(token, place=self.place_of(instance)))
        except crypto.UnknownKey as error:
            column = f"{instance._meta.db_table}.{self.column}"
            logger.error("encryption_key_unknown", key_id=error.key_id, column=column)
            raise

    def to_text(self, value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{self.name} takes a text")
        return value

    def from_text(self, text: str) -> Any:
        return text

    def to_python(self, value: Any) -> Any:
        return value

    def from_db_value(self, value: Any, *_: Any) -> Sealed | str | None:
        if value is None:
            return "" if self.empty else None
        return Sealed(bytes(value))

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:  # noqa: FBT001 - Django's signature
        """The ciphertext to store; one that wasn't decrypted is stored unchanged."""
        value = model_instance.__dict__[self.attname]
        if value is None or (self.empty and value == ""):
            return None
        if isinstance(value, Sealed):
            return value
        return Sealed(crypto.encrypt(self.to_text(value), place=self.place_of(model_instance)))

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:  # noqa: FBT001, FBT002
        if value is not None and not isinstance(value, Sealed):
            raise TypeError(f"{self.name} is encrypted for its row: change it with save(), not with update()")
        return super().get_db_prep_value(value and value.token, connection, prepared)

    def get_lookup(self, lookup_name: str) -> Any:
        """Only whether it is there; what is looked up has a blind index."""
        return super().get_lookup(lookup_name) if lookup_name == "isnull" else None


class EncryptedDateField(EncryptedTextField):
    """A date, stored as its ISO 8601 text."""

    if TYPE_CHECKING:
        _pyi_private_set_type: date  # type: ignore[assignment]
        _pyi_private_get_type: date  # type: ignore[assignment]

    description = "Encrypted date"

    def to_text(self, value: Any) -> str:
        if type(value) is not date:
            raise TypeError(f"{self.name} takes a date")
        return value.isoformat()

    def from_text(self, text: str) -> date:
        return date.fromisoformat(text)


_SLOTS = {"a": 1, "b": 0}  # the parity of the key ids whose digests the column holds


class BlindIndexField(models.BinaryField):
    """The keyed digest of the normalised text in `source`, or None. Fills itself whenever the column is written."""

    def __init__(self, *args: Any, source: str = "", slot: str = "a", purpose: str = "", **kwargs: Any) -> None:
        self.source, self.slot, self.purpose = source, slot, purpose or source
        kwargs.update(null=True, editable=False, max_length=crypto.DIGEST_BYTES)
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        for key in ("null", "editable", "max_length"):
            kwargs.pop(key, None)
        return name, path, args, {**kwargs, "source": self.source, "slot": self.slot, "purpose": self.purpose}

    @property
    def key_id(self) -> int | None:
        """The key whose digests this column takes now; None while the ring has none for it."""
        return next((key_id for key_id in crypto.index_key_ids() if key_id % 2 == _SLOTS[self.slot]), None)

    def pre_save(self, model_instance: models.Model, add: bool) -> bytes | None:  # noqa: FBT001 - Django's signature
        value = digest_for(self, getattr(model_instance, self.source))
        setattr(model_instance, self.attname, value)
        return value


@BlindIndexField.register_lookup
class _Finds(_Lookup):
    """Whether either column of the index holds one of its digests; they come by slot."""

    lookup_name = "finds"
    prepare_rhs = False
    rhs: Mapping[str, list[bytes]]

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        index, alias = self.lhs.target, self.lhs.alias
        conditions, parameters = [], []
        for slot, digests in self.rhs.items():
            column, _ = compiler.compile(Col(alias, index.model._meta.get_field(f"{index.name[:-1]}{slot}")))
            conditions.append(f"{column} IN ({', '.join(['%s'] * len(digests))})")
            parameters += digests
        return f"({' OR '.join(conditions) or 'FALSE'})", parameters


def digest_for(field: BlindIndexField, text: str | None) -> bytes | None:
    """What the column holds for this text."""
    if text is None or field.key_id is None:
        return None
    return crypto.index_digest(field.purpose, text, key_id=field.key_id)


def crypto_columns(*names: str) -> list[str]:
    """For `update_fields`: the encrypted fields with their blind indexes."""
    return [column for name in names for column in (name, f"{name}_index_a", f"{name}_index_b")]


def indexed(field: str, text: str, *, purpose: str = "") -> dict[str, Mapping[str, list[bytes]]]:
    """The filter that finds rows whose `field` (`user__email`) is this normalised text."""
    return indexed_in(field, [text], purpose=purpose)[0]


def same_index(field: str) -> models.Q:
    """In a subquery: `field` is the same text as in the outer row."""
    columns = [f"{field}_index_{slot}" for slot in _SLOTS]
    return models.Q(*[(column, models.OuterRef(column)) for column in columns], _connector=models.Q.OR)


def indexed_in(
    field: str, texts: Iterable[str], *, purpose: str = ""
) -> tuple[dict[str, Mapping[str, list[bytes]]], dict[bytes, str]]:
    """The same for many texts at once, with the texts by their digests."""
    name = purpose or field.rpartition("__")[2]
    by_slot: dict[str, list[bytes]] = {}
    by_digest: dict[bytes, str] = {}
    for text in texts:
        for key_id in crypto.index_key_ids():
            digest = crypto.index_digest(name, text, key_id=key_id)
            by_slot.setdefault("a" if key_id % 2 else "b", []).append(digest)
            by_digest[digest] = text
    return {f"{field}_index_a__finds": by_slot}, by_digest
