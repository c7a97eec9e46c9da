"""Certificates and token files: made, read, and kept from others."""

from pathlib import Path

import pytest

from protos.security.client_security import ClientSecurity
from protos.security.followed_file import FollowedFile
from protos.security.tokens import read_grants
from tests.support.programs import run


def test_certificates_and_tokens_are_never_overwritten_and_kept_from_others(tmp_path: Path) -> None:
    out, tokens = tmp_path / "certs", tmp_path / "tokens.toml"
    made = run("controller", "certs", "--out", str(out), "--hosts", "rig", "10.0.0.7")
    assert made.returncode == 0, made.stderr
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert all((out / name).stat().st_mode & 0o077 == 0 for name in ("ca.key", "server.key", "client.key"))
    again = run("trainer", "certs", "--out", str(out))
    assert again.returncode != 0
    assert "ca.pem exists" in again.stderr
    assert before == {path.name: path.read_bytes() for path in out.iterdir()}
    words = ["token", "--name", "rig-1", "--rights", "act", "log", "--tokens", str(tokens)]
    token = run("controller", *words).stdout.strip()
    assert len(token) == 43
    assert token not in tokens.read_text()
    assert [(g.name, g.rights) for g in read_grants(tokens).tokens.values()] == [("rig-1", {"act", "log"})]
    assert tokens.stat().st_mode & 0o077 == 0
    twice = run("trainer", *words)
    assert twice.returncode != 0
    assert "has a token 'rig-1' already" in twice.stderr


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ('[[token]]\nname = "a"\nrights = ["all"]\nsha256 = ""', "must be among act, log, read, admin"),
        ('[[token]]\nname = "a/b"\nrights = ["act"]\nsha256 = ""', "a token's name is"),
        ('[[token]]\nname = "a"\nrights = ["act"]\nsha256 = "12"', "must be 64 hexadecimal digits"),
        ("token = 3", "cannot be used"),
        ('[[tokens]]\nname = "a"', "unknown entry 'tokens'"),
        ('[[certificate]]\nname = "a"\nrights = []', "at least one; got"),
    ],
)
def test_a_malformed_token_file_is_named(wrong: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(wrong)
    with pytest.raises(ValueError, match=message) as raised:
        read_grants(file)
    assert str(file) in str(raised.value)


def test_a_token_travels_over_tls_only(tmp_path: Path) -> None:
    (tmp_path / "a.token").write_text("secret")
    with pytest.raises(ValueError, match=r"--access.token-file needs --access.ca"):
        ClientSecurity(token_file=tmp_path / "a.token").channel("127.0.0.1:1")
    refused = run("trainer", "serve", "--port", "0", "--security.tokens", str(tmp_path / "a.token"))
    assert refused.returncode != 0
    assert "--security.tokens needs TLS" in refused.stderr


def test_a_file_that_cannot_be_used_for_a_moment_is_read_when_it_can_though_it_is_the_same(
    tmp_path: Path,
) -> None:
    path, fails = tmp_path / "file", [False]
    path.write_text("one")

    def read(path: Path) -> str:
        if fails[0]:
            raise PermissionError(f"{path} is locked")
        return path.read_text()

    followed = FollowedFile(path, read)
    path.write_text("two, longer")
    fails[0] = True
    assert (followed.now(), followed.readings) == ("one", 1)
    fails[0] = False
    assert (followed.now(), followed.readings) == ("two, longer", 2)
