"""Who calls, and what their key lets them do."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from domain.errors import Forbidden


class Scope(StrEnum):
    """What a key may be used for."""

    SUBMIT = "submit"
    """hand in images and jobs; cancel and replay them"""
    READ = "read"
    """see jobs, results, images and events"""
    REVIEW = "review"
    """decide what waits for a person"""
    SIGN = "sign"
    """sign a medical draft, as the person whom the key belongs to"""
    RESTRICTED = "restricted"
    """see what matched a restricted hash bank, and decide it together with `review`"""
    ADMIN = "admin"
    """everything but `sign` and `restricted`: nobody signs, or sees that, by being an administrator"""


ADMIN_GRANTS = frozenset({Scope.SUBMIT, Scope.READ, Scope.REVIEW, Scope.ADMIN})


@dataclass(frozen=True)
class Principal:
    """A caller whose key was found good."""

    tenant: str
    key_id: UUID
    key_name: str
    scopes: frozenset[Scope]

    def allows(self, scope: Scope) -> bool:
        """Say whether the key may be used for that."""
        return scope in self.scopes or (Scope.ADMIN in self.scopes and scope in ADMIN_GRANTS)

    def require(self, scope: Scope) -> None:
        """Raise Forbidden where the key may not be used for that."""
        if not self.allows(scope):
            held = ", ".join(sorted(self.scopes)) or "none"
            raise Forbidden(
                f"this needs the scope {scope.value!r}; the key {self.key_name!r} has: {held}", scope=scope.value
            )
