"""What is taken out of events, prompts and transcripts, and what is left alone."""

from __future__ import annotations

import pytest

from yokeflow.engine.redact import redact, secret_values

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc+/=\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-api03-" + "a1B2" * 8,
        "sk-proj-" + "a1B2" * 8,
        "ghp_" + "a1B2" * 9,
        "github_pat_" + "a1B2" * 12,
        "glpat-" + "a1B2" * 5,
        "xoxb-123456789012-abcdef",
        "AKIA" + "ABCD" * 4,
        "AIza" + "a1B2c" * 7,
        "npm_" + "a1B2" * 9,
        "pypi-" + "a1B2" * 10,
        "hf_" + "a1B2" * 8,
        JWT,
        KEY,
        KEY.replace("\n", "\\n"),
        KEY.partition("-----END")[0],
    ],
)
def test_known_shapes(secret):
    assert redact(f'before "{secret}" after') == 'before "[redacted]" after'


def test_credentials_in_addresses_and_headers():
    assert redact("postgresql://me:hunter22@db:5432/x") == "postgresql://[redacted]@db:5432/x"
    assert redact("Authorization: Bearer abcdefghijklmnopqrstuvwxyz") == "Authorization: Bearer [redacted]"


@pytest.mark.parametrize(
    "harmless",
    [
        "git clone git@github.com:a/b.git",
        "https://example.org/a?b=c: see user@example.org",
        "task-sk-short and sketchy",
        "commit 0123456789abcdef0123456789abcdef01234567",
        "Bearer of news",
        "lone \ud800 surrogate and ☃",
        "",
    ],
)
def test_ordinary_text_is_left_alone(harmless):
    assert redact(harmless) == harmless


def test_values_of_telling_variables(monkeypatch):
    monkeypatch.setenv("MY_PASSWORD", 'open "sesame"')
    assert redact('say open "sesame" or "open \\"sesame\\""') == 'say [redacted] or "[redacted]"'
    monkeypatch.setenv("MY_PASSWORD", "changed since")
    assert redact("it was changed since") == "it was [redacted]"


def test_values_that_are_no_secrets():
    environment = {
        "MAX_TOKENS": "1000000000",
        "API_KEY": "short",
        "KEY_FILE": "/home/me/key.pem",
        "GIT_CONFIG_KEY_1": "maintenance.auto",
        "PATH": "/usr/bin:/bin",
    }
    assert secret_values(environment) == ()
