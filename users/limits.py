"""The limits of the ways in: per network, and per address or number that something is sent to."""

from fintech_core.ratelimit import Limit, Per
from users.credentials import check_phone, normalise_email

REGISTER_NETWORK = Limit(name="register_network", per=Per.NETWORK)
SEND_NETWORK = Limit(name="send_network", per=Per.NETWORK)
VERIFY_NETWORK = Limit(name="verify_network", per=Per.NETWORK)
# Whatever is sent for whichever reason: one address gets five messages, not five of each kind.
SEND_TO_EMAIL = Limit(name="send_destination", per=Per.DESTINATION, field="email", normal_form=normalise_email)
SEND_TO_PHONE = Limit(name="send_destination", per=Per.DESTINATION, field="phone", normal_form=check_phone)
