"""Owns where things live on this machine: the checkout, `.local/`, the servers' home, the socket directories.

Nothing here changes the mode of a directory that it did not create: a private parent stays private. Unix sockets may
have a path of 107 bytes at most (103 on macOS), so they get a short directory of their own outside the checkout.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
LOCAL = CHECKOUT / ".local"
ACCOUNT_NAME = "fintech-core"
PRIVATE = 0o700
LONGEST_SOCKET_DIRECTORY = 80  # leaves room for the file name within macOS's 103 bytes


class Refusal(Exception):
    """Something the reader must change; its text is the one line shown."""


@dataclass(frozen=True)
class Account:
    """The unprivileged account that the servers run as when we are root (PostgreSQL refuses to run as root)."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Home:
    """`root`: data (and, for root, copies of the binaries); `sockets`: the servers'; `control`: supervisor's socket."""

    root: Path
    sockets: Path
    control: Path
    account: Account | None


def is_root() -> bool:
    return os.geteuid() == 0


def server_account() -> Account | None:
    """None for a normal user, who runs the servers as himself."""
    if not is_root():
        return None
    if _lookup(ACCOUNT_NAME) is None and shutil.which("useradd"):
        _create_account()
    account = _lookup(ACCOUNT_NAME) or _lookup("nobody")
    if account is None or account.uid == 0:
        raise Refusal(
            "No unprivileged account for PostgreSQL: create a system user named fintech-core, then try again."
        )
    return account


def prepare_home() -> Home:
    """Make (or find again) the directories of this checkout's servers and record them in `.local/home.json`."""
    make_local()
    recorded = _recorded_home()
    account = server_account()
    owner = account.uid if account else os.geteuid()
    home = Home(
        root=_servers_root(recorded.get("root"), account),
        sockets=private_directory(recorded.get("sockets"), owner),
        control=private_directory(recorded.get("control"), os.geteuid()),
        account=account,
    )
    places = {"checkout": CHECKOUT, "root": home.root, "sockets": home.sockets, "control": home.control}
    write_private(LOCAL / "home.json", json.dumps({key: str(path) for key, path in places.items()}, indent=2) + "\n")
    return home


def recorded_root() -> Path | None:
    """Where this checkout's data lies, if it ever ran."""
    root = _recorded_home().get("root")
    return Path(root) if root else None


def recorded_directories() -> list[Path]:
    """Every directory outside the checkout that `.local/home.json` says is ours."""
    return [Path(path) for key, path in _recorded_home().items() if key != "checkout"]


def make_local() -> None:
    try:
        LOCAL.mkdir(mode=PRIVATE, exist_ok=True)
        (LOCAL / "logs").mkdir(mode=PRIVATE, exist_ok=True)
    except OSError as error:
        raise Refusal(f"Cannot write to {LOCAL}: {error.strerror}.") from error
    if not os.access(LOCAL, os.W_OK | os.X_OK):
        raise Refusal(
            f"{LOCAL} belongs to another user; was `make run` started as root before? Remove it or run as root."
        )


def write_private(path: Path, text: str) -> None:
    """Replace a file whole, readable by its owner only, so that a kill in between leaves the old or the new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w") as file:  # mkstemp creates with mode 0600
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).replace(path)


def private_directory(recorded: str | None, owner: int) -> Path:
    """A short 0700 directory of `owner`: the recorded one unless it was replaced, else a new one."""
    if recorded and _is_private(Path(recorded), owner):
        return Path(recorded)
    made = Path(tempfile.mkdtemp(prefix="fc-", dir=_short_base()))
    if owner != os.geteuid():
        os.chown(made, owner, -1)
    return made


def own(path: Path, account: Account | None) -> None:
    """Give a path that we created to the servers' account."""
    if account is not None:
        os.chown(path, account.uid, account.gid)


def _servers_root(recorded: str | None, account: Account | None) -> Path:
    if account is None:
        root = LOCAL / "servers"
        root.mkdir(mode=PRIVATE, exist_ok=True)
        return root
    root = Path(recorded) if recorded else _default_root()
    if not root.exists():
        # 0711 by creation, not by chmod: the account must pass through to its own directory and see no other name.
        root.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        root.mkdir(mode=PRIVATE)
        own(root, account)
    if not _is_private(root, account.uid):
        raise Refusal(f"{root} must be a directory of {account.name} with mode 0700; it is not, so it is left alone.")
    return root


def _default_root() -> Path:
    base = Path("/var/db" if sys.platform == "darwin" else "/var/lib")
    checkout_id = hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:12]
    return base / ACCOUNT_NAME / checkout_id


def _recorded_home() -> dict[str, str]:
    """What the last start wrote; nothing when this checkout is a copy of another one, whose servers are not ours."""
    try:
        recorded: dict[str, str] = json.loads((LOCAL / "home.json").read_text())
    except (OSError, ValueError):
        return {}
    other = Path(recorded.get("checkout", ""))
    is_copy = other != CHECKOUT and (other / ".local" / "home.json").exists()
    return {} if is_copy else recorded


def _is_private(path: Path, owner: int) -> bool:
    """lstat, because another user may have put a link where our directory was (/tmp is writable for all)."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == owner and stat.S_IMODE(found.st_mode) == PRIVATE


def _short_base() -> str:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    usable = bool(runtime) and not is_root() and _is_private(Path(runtime), os.geteuid())
    for base in ([runtime] if usable else []) + ["/tmp", tempfile.gettempdir()]:  # noqa: S108 - mkdtemp follows
        if len(os.fsencode(base)) + len("/fc-12345678") <= LONGEST_SOCKET_DIRECTORY and os.access(base, os.W_OK):
            return base
    raise Refusal("No directory with a short path for sockets: /tmp must be writable.")


def _lookup(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name, entry.pw_uid, entry.pw_gid)


def _create_account() -> None:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    subprocess.run([*command, "--shell", "/usr/sbin/nologin", ACCOUNT_NAME], check=False, capture_output=True)
