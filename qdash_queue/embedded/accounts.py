"""Whom a server runs as: PostgreSQL refuses to run as root, so root lends it an ordinary account."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """An ordinary account of this machine."""

    name: str
    uid: int
    gid: int

    def can_run(self, program: Path) -> bool:
        """Whether the account reaches the program and may run it."""
        try:
            done = subprocess.run(
                [str(program), "--version"],
                user=self.uid,
                group=self.gid,
                extra_groups=[],
                cwd="/",
                capture_output=True,
                check=False,
            )
        except PermissionError:
            return False
        return done.returncode == 0

    def can_reach(self, directory: Path) -> bool:
        """Whether the account may pass through all folders above the directory."""
        return all(parent.stat().st_mode & 0o001 for parent in directory.resolve().parents)

    def own(self, directory: Path) -> None:
        """Give the directory to the account, closed to everybody else."""
        os.chown(directory, self.uid, self.gid)
        directory.chmod(0o700)


def unprivileged_account() -> Account | None:
    """The account that a server must run as, or None where this process is an ordinary one itself.

    Raises:
        LookupError: if this process is root and the machine has no ordinary account to lend.
    """
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise LookupError(f"expected one of the accounts {', '.join(CANDIDATES)} on this machine, found none")


def copy_for(account: Account, source: Path, target: Path) -> None:
    """Copy a program's folder to where the account owns it; nothing is made wider readable in place."""
    shutil.copytree(source, target, symlinks=True)
    for entry in (target.parent, target, *target.rglob("*")):
        os.chown(entry, account.uid, account.gid, follow_symlinks=False)
