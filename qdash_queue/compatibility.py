"""Whether this program and the database's schema are compatible."""

from __future__ import annotations

from qdash_queue.client.database import Database
from qdash_queue.errors import SchemaMissingError
from qdash_queue.migrate import head


def require_schema(database: Database) -> None:
    """Make sure that the schema has all that this program needs, and still serves it.

    A newer schema serves older programs, until a release says otherwise.

    Raises:
        SchemaMissingError: the schema is not installed, older than this program needs, or too new for it.
        DatabaseUnreachableError: the server does not answer.
    """
    version, wanted = int(database.value("SELECT calib.schema_version()")), int(head())
    if version < wanted:
        raise SchemaMissingError(
            f"the schema is behind: version {version}, this program needs {wanted}:"
            " run qdash-queue migrate as an owner of the database"
        )
    if version == wanted:
        return
    oldest = int(database.value("SELECT calib.oldest_served_version()"))
    if wanted < oldest:
        raise SchemaMissingError(
            f"the schema (version {version}) serves programs of version {oldest} and newer, this one is of"
            f" version {wanted}: install a newer qdash-queue"
        )
