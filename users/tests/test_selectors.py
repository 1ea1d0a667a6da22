"""Looking people up by what they proved."""

import pytest

from users.selectors import user_by_verified_email


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["\u212aim@customer.example", "not-an-address", "a@" + "b" * 64 + ".example", ""])
def test_an_address_that_no_account_can_have_belongs_to_no_user(address: str) -> None:
    assert user_by_verified_email(address) is None
