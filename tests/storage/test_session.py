"""What becomes of a transaction when the database says no."""

import pytest
from sqlalchemy import Connection, Engine, text

from domain.errors import StorageUnavailable
from storage.session import write


def _store(connection: Connection) -> None:
    connection.execute(text("INSERT INTO tenants (name, created_at) VALUES ('acme', now())"))


@pytest.mark.service
def test_a_server_that_takes_no_writes_for_now_counts_as_one_that_does_not_answer(postgresql_engine: Engine) -> None:
    # given a server in the middle of a failover
    name = postgresql_engine.url.database
    with postgresql_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    postgresql_engine.dispose()
    # when something is written, then it is told as what a retry can help
    with pytest.raises(StorageUnavailable, match="read-only"):
        write(postgresql_engine, _store)


@pytest.mark.service
def test_a_connection_that_is_cut_in_mid_transaction_is_told_and_the_next_one_serves(postgresql_engine: Engine) -> None:
    # given a transaction whose server process is ended
    def cut(connection: Connection) -> None:
        _store(connection)
        with postgresql_engine.connect() as other:
            mine = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": mine})
        _store(connection)

    # when it goes on, then it fails as a whole
    with pytest.raises(StorageUnavailable):
        write(postgresql_engine, cut)
    # and the next finds a connection, and nothing half-written
    write(postgresql_engine, _store)
