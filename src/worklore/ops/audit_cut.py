"""The signed word that a chain begins later than with its first entry, since the entries before were handed out."""

from collections.abc import Mapping
from struct import Struct
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import select

from worklore.kernel.chain import Head
from worklore.kernel.nodes import AuditCut
from worklore.ops.audit_chain import streamed
from worklore.ops.audit_findings import Findings

SIGNED: Final = ("id", "at", "chain", "seq", "mac", "records", "export_sha256", "key_id")

_LENGTH: Final = Struct(">I").pack


def message(cut: Mapping[str, Any]) -> bytes:
    """What is signed of a cut."""
    parts = [b"worklore cut/v1", *(str(cut[name]).encode() for name in SIGNED)]
    return b"".join(_LENGTH(len(part)) + part for part in parts)


def cuts(findings: Findings, publics: Mapping[str, Ed25519PublicKey]) -> dict[str, Head]:
    """By chain, the last entry that was taken away, as far as the cuts were signed with a key that is known."""
    found: dict[str, Head] = {}
    for row in streamed(findings.connection, select(AuditCut.__table__).order_by(AuditCut.seq)):
        public = publics.get(row["key_id"])
        if public is None:
            findings.lacks(f"the key {row['key_id']}, which signed a cut")
            continue
        try:
            public.verify(row["signature"], message(row))
        except InvalidSignature:
            why = "it is not what was signed"
            findings.broken(AuditCut.__tablename__, "cut", why, chain=row["chain"], seq=row["seq"], id=str(row["id"]))
            continue
        found[row["chain"]] = Head(row["seq"], row["mac"])
    return found
