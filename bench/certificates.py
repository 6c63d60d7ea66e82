"""A certificate authority for one run, and a certificate for 127.0.0.1 signed by it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import trustme


@dataclasses.dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files: the authority that clients trust, and the sink's chain and key."""

    authority: Path
    chain: Path
    key: Path


def issue(folder: Path) -> Certificates:
    """Write the files to a folder."""
    files = Certificates(folder / "ca.pem", folder / "chain.pem", folder / "key.pem")
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    certificate = authority.issue_cert("127.0.0.1", "localhost", key_type=trustme.KeyType.ECDSA)
    authority.cert_pem.write_to_path(files.authority)
    certificate.private_key_pem.write_to_path(files.key)
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(files.chain, append=True)
    return files
