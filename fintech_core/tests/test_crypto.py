"""Personal data at rest: the ciphertexts, the rings of keys, the fields and their blind indexes."""

import base64
from typing import Any

import pytest
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import IntegrityError, connection

from fintech_core.security import crypto
from fintech_core.security.encrypted_fields import Sealed, indexed, indexed_in
from tests.cast import customer, with_personal
from users.models import User
from users.selectors import user_for_log_in

PLACE = "users_user.email:1"


def key(number: int) -> str:
    return f"{number}:{base64.b64encode(bytes([number]) * 32).decode()}"


def stored(user: User) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM users_user WHERE id = %s", [user.pk])
        return dict(zip([column.name for column in cursor.description], cursor.fetchone(), strict=True))


def test_a_text_comes_back_and_no_two_ciphertexts_are_alike() -> None:
    first, second = (crypto.encrypt("Ünïcode ☃", place=PLACE) for _ in range(2))

    assert first != second
    assert crypto.decrypt(first, place=PLACE) == crypto.decrypt(second, place=PLACE) == "Ünïcode ☃"
    assert "Ünïcode".encode() not in first


def test_a_ciphertext_opens_in_its_place_only_and_only_unchanged() -> None:
    token = crypto.encrypt("secret", place=PLACE)

    with pytest.raises(crypto.DecryptionFailed):
        crypto.decrypt(token, place="users_user.email:2")
    with pytest.raises(crypto.DecryptionFailed):
        crypto.decrypt(token, place="users_user.phone:1")
    for index in range(len(token)):
        changed = token[:index] + bytes([token[index] ^ 1]) + token[index + 1 :]
        with pytest.raises(crypto.DecryptionFailed):
            crypto.decrypt(changed, place=PLACE)
    for short in (b"", token[:10], token[:-1]):
        with pytest.raises(crypto.DecryptionFailed):
            crypto.decrypt(short, place=PLACE)


def test_the_first_key_encrypts_all_decrypt_and_the_id_is_in_the_ciphertext(settings: Any) -> None:
    settings.PII_KEYS = key(1)
    old = crypto.encrypt("secret", place=PLACE)
    settings.PII_KEYS = f"{key(2)}, {key(1)}"
    new = crypto.encrypt("secret", place=PLACE)

    assert (crypto.key_id_of(old), crypto.key_id_of(new), crypto.current_key_id()) == (1, 2, 2)
    assert crypto.decrypt(old, place=PLACE) == crypto.decrypt(new, place=PLACE) == "secret"
    settings.PII_KEYS = key(2)
    with pytest.raises(crypto.DecryptionFailed, match="no key 1"):
        crypto.decrypt(old, place=PLACE)


@pytest.mark.parametrize(
    "ring",
    ["", "1", "1:short", f"0:{key(1)[2:]}", f"65536:{key(1)[2:]}", f"{key(1)},{key(1)}", "1:!!!", f"x:{key(1)[2:]}"],
)
def test_a_ring_that_is_none_is_refused_without_repeating_it(settings: Any, ring: str) -> None:
    settings.PII_KEYS = ring

    with pytest.raises(ImproperlyConfigured) as refusal:
        crypto.encrypt("secret", place=PLACE)

    assert key(1)[2:] not in str(refusal.value)


@pytest.mark.parametrize("ids", [(1, 3), (3, 2, 1)])
def test_two_index_keys_have_ids_of_different_parity(settings: Any, ids: tuple[int, ...]) -> None:
    settings.PII_INDEX_KEYS = ",".join(map(key, ids))

    with pytest.raises(ImproperlyConfigured):
        crypto.index_key_ids()


def test_digests_differ_by_purpose_key_and_use(settings: Any) -> None:
    settings.PII_INDEX_KEYS = f"{key(2)},{key(1)}"

    digests = {
        crypto.index_digest("email", "a@b.example", key_id=1),
        crypto.index_digest("email", "a@b.example", key_id=2),
        crypto.index_digest("phone", "a@b.example", key_id=2),
        crypto.keyed_digest("email", "a@b.example"),
    }

    assert len(digests) == 4
    assert {len(digest) for digest in digests} == {32}


def test_a_user_is_stored_as_ciphertexts_and_reads_as_text(alice: User) -> None:
    with_personal(alice, phone="+12025550123", last_name="Årcher")
    row = stored(alice)
    user = User.objects.get(pk=alice.pk)

    assert (user.email, user.phone, user.first_name, user.last_name) == (
        "alice@customer.example",
        "+12025550123",
        "Alice",
        "Årcher",
    )
    for name in ("email", "phone", "first_name", "last_name"):
        assert crypto.key_id_of(bytes(row[name])) == crypto.current_key_id()
    assert not [value for value in row.values() if "alice" in str(value).lower()]


def test_ciphertexts_swapped_between_rows_do_not_open(alice: User, bob: User) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE users_user SET first_name = (SELECT first_name FROM users_user WHERE id = %s) WHERE id = %s",
            [bob.pk, alice.pk],
        )

    with pytest.raises(crypto.DecryptionFailed):
        str(User.objects.get(pk=alice.pk).first_name)


def test_an_absent_name_is_null_and_reads_as_the_empty_text(alice: User) -> None:
    with_personal(alice, last_name="")

    assert stored(alice)["last_name"] is None
    assert User.objects.get(pk=alice.pk).last_name == ""


def test_a_save_of_other_columns_leaves_the_ciphertext_as_it_was(alice: User) -> None:
    before = stored(alice)
    user = User.objects.get(pk=alice.pk)
    user.kyc_level = 1
    user.save(update_fields=["kyc_level"])
    user.save(update_fields=["email", "email_index_a", "email_index_b"])

    assert {**stored(alice), "kyc_level": 0} == before


def test_encrypted_columns_are_neither_compared_nor_updated_in_bulk(alice: User) -> None:
    with pytest.raises(FieldError):
        User.objects.filter(email="alice@customer.example").exists()
    with pytest.raises(FieldError):
        User.objects.filter(email__icontains="alice").exists()
    assert User.objects.filter(email__isnull=False).count() == 1
    with pytest.raises(TypeError, match="change it with save"):
        User.objects.filter(pk=alice.pk).update(email="other@customer.example")


def test_values_show_nothing(alice: User) -> None:
    (value,) = User.objects.values_list("email", flat=True)

    assert type(value).__name__ == Sealed.__name__
    assert "alice" not in repr(value)


def test_deferred_and_refreshed_values_open_too(alice: User) -> None:
    deferred = User.objects.only("pk").get(pk=alice.pk)

    assert deferred.email == "alice@customer.example"
    deferred.refresh_from_db(fields=["first_name"])
    assert deferred.first_name == "Alice"


# --- Blind indexes while their keys rotate ----------------------------------------------------------------------------


def test_while_index_keys_rotate_old_and_new_rows_are_found_and_unique(settings: Any, db: None) -> None:
    settings.PII_INDEX_KEYS = key(1)
    old = customer("carol")
    settings.PII_INDEX_KEYS = f"{key(2)},{key(1)}"
    new = customer("dave")

    assert user_for_log_in("carol@customer.example") == old
    assert user_for_log_in("dave@customer.example") == new
    assert (stored(old)["email_index_b"], stored(new)["email_index_b"] is None) == (None, False)
    with pytest.raises(IntegrityError, match="user_email_once_a"):
        with_personal(new, email="carol@customer.example")


def test_after_the_rotation_the_new_key_alone_finds_everybody(settings: Any, db: None) -> None:
    settings.PII_INDEX_KEYS = key(1)
    user = customer("carol")
    settings.PII_INDEX_KEYS = f"{key(2)},{key(1)}"
    with_personal(user, email=user.email)
    settings.PII_INDEX_KEYS = key(2)

    assert user_for_log_in("carol@customer.example") == user
    with_personal(user, email=user.email)
    assert stored(user)["email_index_a"] is None


def test_many_are_looked_up_at_once_with_their_texts(alice: User, bob: User) -> None:
    condition, by_digest = indexed_in("email", ["alice@customer.example", "nobody@customer.example"])

    assert list(User.objects.filter(**condition)) == [alice]
    assert sorted(by_digest.values()) == ["alice@customer.example", "nobody@customer.example"]
    assert User.objects.get(**indexed("email", "bob@customer.example")) == bob
