"""The limits of log-in and registration: per network, and per address or number that something is sent to."""

from fintech_core.limits.ratelimit import Limit, Per
from fintech_core.values.identifiers import normalise_email, normalise_phone
from users.selectors import is_familiar_to_email, is_familiar_to_phone

REGISTER_NETWORK = Limit(name="register_network", per=Per.NETWORK)
SEND_NETWORK = Limit(name="send_network", per=Per.NETWORK)
VERIFY_NETWORK = Limit(name="verify_network", per=Per.NETWORK)
STEP_UP = Limit(name="step_up", per=Per.PRINCIPAL)
SEND_HOUR = Limit(name="send_destination_hour", per=Per.DESTINATION)
SEND_DAY = Limit(name="send_destination_day", per=Per.DESTINATION)
SENDS_IN_ALL = (SEND_HOUR, SEND_DAY)
# Whatever is requested for whichever reason: one network has five messages sent to an address, not five of each kind.
# Step-up codes, which a session has sent to its own user, are counted by the same hour and day, apart from these.
SEND_TO_EMAIL = Limit(
    name="send_destination",
    per=Per.DESTINATION,
    field="email",
    normal_form=normalise_email,
    in_all=SENDS_IN_ALL,
    familiar=is_familiar_to_email,
)
SEND_TO_PHONE = Limit(
    name="send_destination",
    per=Per.DESTINATION,
    field="phone",
    normal_form=normalise_phone,
    in_all=SENDS_IN_ALL,
    familiar=is_familiar_to_phone,
)
