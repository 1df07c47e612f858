"""Keys and tenants on each database."""

import pytest
from sqlalchemy import Engine

from domain.access import Principal, Scope
from domain.errors import Conflict, Forbidden, InvalidRequest, NotFound, Unauthenticated
from storage import keys, tenants
from storage.session import read, write
from storage.tables import keys as table


def test_a_key_is_recognised_and_only_its_hash_is_kept(engine: Engine) -> None:
    # given a tenant
    write(engine, tenants.ensure, "acme")
    # when a key is made for it
    made = write(engine, keys.create, "acme", "line 4", [Scope.SUBMIT])
    # then it says whose it is, and the secret is nowhere in the database
    who = read(engine, keys.authenticate, made.key)
    assert (who.tenant, who.key_name, who.scopes) == ("acme", "line 4", {Scope.SUBMIT})
    assert made.key.startswith(f"sl_{made.prefix}_")
    secret = made.key.rsplit("_", 1)[1]
    assert len(secret) == 64
    stored = read(engine, lambda connection: connection.execute(table.select()).one())
    assert secret not in str(stored)
    assert not hasattr(read(engine, keys.listing)[0], "key")


def test_a_revoked_or_unknown_key_is_nobodys(engine: Engine) -> None:
    # given a key that was revoked, twice
    write(engine, tenants.ensure, "acme")
    made = write(engine, keys.create, "acme", "old", [Scope.READ])
    first = write(engine, keys.revoke, made.prefix)
    again = write(engine, keys.revoke, str(made.id))
    # when it is used, or one that never was
    # then both are refused alike
    assert first.revoked_at == again.revoked_at is not None
    for key in (made.key, "sl_00000000_00", ""):
        with pytest.raises(Unauthenticated):
            read(engine, keys.authenticate, key)


def test_keys_need_a_tenant_and_a_scope(engine: Engine) -> None:
    write(engine, tenants.ensure, "acme")
    with pytest.raises(NotFound, match="nobody"):
        write(engine, keys.create, "nobody", "x", [Scope.READ])
    with pytest.raises(InvalidRequest, match="scope"):
        write(engine, keys.create, "acme", "x", [])
    with pytest.raises(NotFound):
        write(engine, keys.revoke, "ffffffff")


def test_an_administrator_may_all_but_sign_and_see_what_is_for_few_eyes() -> None:
    # given a key with the scope admin
    made = Principal("acme", __import__("uuid").uuid4(), "root", frozenset({Scope.ADMIN}))
    # when each scope is asked of it
    allowed = {scope for scope in Scope if made.allows(scope)}
    # then it grants all but the signature of a person, and what is restricted
    assert allowed == set(Scope) - {Scope.SIGN, Scope.RESTRICTED}
    with pytest.raises(Forbidden, match="'sign'"):
        made.require(Scope.SIGN)


def test_a_tenant_is_made_once_and_set(engine: Engine) -> None:
    # given a tenant
    write(engine, tenants.create, "acme", backlog_limit=5)
    # when it is made again, ensured, and set
    with pytest.raises(Conflict):
        write(engine, tenants.create, "acme")
    write(engine, tenants.ensure, "acme")
    changed = write(engine, tenants.configure, "acme", intake_enabled=True)
    # then it has kept what was set before
    assert (changed.backlog_limit, changed.intake_enabled) == (5, True)
    assert read(engine, tenants.backlog_limit, "acme", 99) == 5
    # and a limit of 0 goes back to the default
    write(engine, tenants.configure, "acme", backlog_limit=0)
    assert read(engine, tenants.backlog_limit, "acme", 99) == 99
    assert [each.name for each in read(engine, tenants.listing)] == ["acme"]


@pytest.mark.parametrize("name", ["", "Acme", "a b", "-a", "a" * 65, "a.b", "ä"])
def test_a_name_that_cannot_be_part_of_a_queues_name_is_refused(engine: Engine, name: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot name a tenant"):
        write(engine, tenants.ensure, name)


def test_an_unknown_tenant_cannot_be_set(engine: Engine) -> None:
    with pytest.raises(NotFound):
        write(engine, tenants.configure, "nobody", intake_enabled=True)
