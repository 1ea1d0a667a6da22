"""The mails of identity. Addresses and links come from our settings and tables, never from a request's Host."""

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string

from users.services import RegistrationMail


def send_registration_mail(mail: RegistrationMail) -> None:
    """The token for a new address, or a notice to the owner of a known one. Raises what SMTP raises."""
    if mail.token is not None:
        subject, template = "Confirm your email address", "users/mail/verify_email.txt"
    else:
        subject, template = "You have an account already", "users/mail/account_exists.txt"
    context = {
        "token": mail.token,
        "verify_url": f"{settings.PUBLIC_URL}/api/v1/auth/email/verify",
        "hours": int(settings.EMAIL_TOKEN_LIFETIME.total_seconds() // 3600),
    }
    EmailMessage(subject, render_to_string(template, context), to=[mail.recipient]).send()
