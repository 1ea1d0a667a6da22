"""Second factors on an operator's terminal: what the commands that give one show, once."""

import io

import segno

from users.services import Enrolment


def shown(enrolment: Enrolment, codes: list[str]) -> str:
    """The key as a URL and as a QR code, and the recovery codes."""
    drawing = io.StringIO()
    segno.make(enrolment.otpauth_url, error="l").terminal(out=drawing, compact=True)
    return "\n".join(
        [
            "Second factor, for an authenticator (shown once):",
            drawing.getvalue().rstrip("\n"),
            enrolment.otpauth_url,
            "Recovery codes, each good for one log-in (shown once):",
            *(f"  {code}" for code in codes),
        ]
    )
