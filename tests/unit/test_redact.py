"""What is taken out of events, prompts and transcripts, and what is left alone."""

from __future__ import annotations

import pytest

from yokeflow.engine.secrets.redact import redact, secret_values

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


#: A text and the part of it that is secret.
NAMED = [
    ("password: SuperS3cretPw99", "SuperS3cretPw99"),
    ("Password: hunter2", "hunter2"),
    ("login with password SuperS3cretPw99 failed", "SuperS3cretPw99"),
    ("the password is SuperS3cretPw99.", "SuperS3cretPw99"),
    ("DB_PASSWORD=opensesame", "opensesame"),
    ("export DB_PASSWORD='open sesame'", "open sesame"),
    ("PGPASSWORD=pgPass11 psql -h db", "pgPass11"),
    ("MY_TOKEN: tok_Abc123", "tok_Abc123"),
    ("passwd=pw4U!", "pw4U!"),
    ("pwd=Abc12345 host=db", "Abc12345"),
    ("DB_PASS=x1y2z3w4", "x1y2z3w4"),
    ("token=abc123def456", "abc123def456"),
    ("secret = 'tops3cret'", "tops3cret"),
    ('secret = "topsecretthing"', "topsecretthing"),
    ("passphrase: correct horse battery staple", "correct horse battery staple"),
    ("ssh-pass: Zx81Spectrum", "Zx81Spectrum"),
    ('{"api_key": "k3yk3yk3y"}', "k3yk3yk3y"),
    ("{'api_key': 'k3yk3yk3y', 'a': 1}", "k3yk3yk3y"),
    ('{"client_secret":"shhhhhhh","b":2}', "shhhhhhh"),
    ('{"text":"{\\"apiKey\\": \\"k3yk3yk3y\\"}"}', "k3yk3yk3y"),
    ('{"text":"password: SuperS3cretPw99\\nnext"}', "SuperS3cretPw99"),
    ('password: str = "SuperS3cretPw99"', "SuperS3cretPw99"),
    ('os.environ["DB_PASSWORD"] = "SuperS3cretPw99"', "SuperS3cretPw99"),
    ("dbPassword: 'SuperS3cretPw99'", "SuperS3cretPw99"),
    ("api key: k3yk3yk3y", "k3yk3yk3y"),
    ("access key: k3yk3yk3y", "k3yk3yk3y"),
    ("SECRET_KEY_BASE=0a1b2c3d4e5f60718293a4b5", "0a1b2c3d4e5f60718293a4b5"),
    ("STRIPE_KEY=Zz12345678abc", "Zz12345678abc"),
    ("credential: Zz12345678abc", "Zz12345678abc"),
    ('"auth": "dXNlcjpwYXNzd29yZDE="', "dXNlcjpwYXNzd29yZDE="),
    ("//registry.example.org/:_authToken=Zz12345678abc", "Zz12345678abc"),
    ("curl -u alice:curlPass55 https://x.org", "curlPass55"),
    ("curl -sSu 'alice:curl Pass55' https://x.org".replace(" P", "P"), "curlPass55"),
    ("curl --user alice:curlPass55 x.org", "curlPass55"),
    ("tool --password cliPass66 --verbose", "cliPass66"),
    ("tool --password=sesamestreet", "sesamestreet"),
    ("tool --api-key cliPass66", "cliPass66"),
    ('["tool", "--token", "cliPass66"]', "cliPass66"),
    ("mysql -uroot -pMysqlPw88 shop", "MysqlPw88"),
    ("mysqldump -u root -pMysqlPw88 shop", "MysqlPw88"),
    ("sshpass -p Zx81Spectrum ssh me@host", "Zx81Spectrum"),
    ("Authorization: Basic YWxpY2U6cHc=", "YWxpY2U6cHc="),
    ("Authorization: Bearer short1", "short1"),
    ("authorization: token abcdefghij", "abcdefghij"),
    ("Authorization: Custom-Scheme abc123def456", "abc123def456"),
    ('{"Authorization": "Basic YWxpY2U6cHc="}', "YWxpY2U6cHc="),
    ("Proxy-Authorization: abc123def456", "abc123def456"),
    ("curl -H 'X-Api-Key: k3yk3yk3y' x.org", "k3yk3yk3y"),
    ("X-Auth-Token: k3yk3yk3y", "k3yk3yk3y"),
    ("Cookie: session=abc123def", "abc123def"),
    ("Set-Cookie: sid=abc123def; Path=/; HttpOnly", "abc123def"),
    ("https://x.org/?a=1&access_token=abc123def&b=2", "abc123def"),
    ("https://x.org/?sv=1&sig=abc%2Bdef123%3D&se=2", "abc%2Bdef123%3D"),
    ("AccountName=shop;AccountKey=abcDEF123+/==;EndpointSuffix=core", "abcDEF123+/=="),
    (
        "SecretAccessKey: " + "wJalrXUtnFEMI/K7MDENG+bPxRfiCYzzzzzzzKEY",
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYzzzzzzzKEY",
    ),
    (
        "aws_secret_access_key = " + "/JalrXUtnFEMIeK7MDENG+bPxRfiCYzzzzzzzKEY",
        "/JalrXUtnFEMIeK7MDENG+bPxRfiCYzzzzzzzKEY",
    ),
    ("id AKIA" + "ABCD" * 4 + ":" + "wJalrXUtnF" * 4, "AKIA" + "ABCD" * 4 + ":" + "wJalrXUtnF" * 4),
    ("use sk_live_" + "a1B2" * 6, "sk_live_" + "a1B2" * 6),
    ("use rk_live_" + "a1B2" * 6, "rk_live_" + "a1B2" * 6),
    ("use sk-abcDEF123456 now", "sk-abcDEF123456"),
    ("use dop_v1_" + "a1b2" * 16, "dop_v1_" + "a1b2" * 16),
    ("use SG." + "a1B2" * 5 + "." + "c3D4" * 10, "SG." + "a1B2" * 5 + "." + "c3D4" * 10),
    ("https://hooks.slack.com/services/T000/B000/XXa1b2c3", "services/T000/B000/XXa1b2c3"),
    ("AIza" + "a1B2c" * 7 + "d", "AIza" + "a1B2c" * 7 + "d"),
    ("postgres://admin:p@ssw0rd/x1@db.example.org/shop", "admin:p@ssw0rd/x1"),
    ("postgres://admin:p@ss@db", "admin:p@ss"),
    ("https://a1b2c3d4e5f6a7b8c9d0@github.com/a/b", "a1b2c3d4e5f6a7b8c9d0"),
    ("redis://:s3cret@cache:6379/0", ":s3cret"),
]


@pytest.mark.parametrize(("text", "secret"), NAMED)
def test_names_give_secrets_away(text, secret):
    assert redact(text) == text.replace(secret, "[redacted]")


@pytest.mark.parametrize("text", [text for text, _ in NAMED])
def test_what_was_redacted_stays_as_it_is(text):
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "harmless",
    [
        "token = get_token()",
        "token = await client.get_token(user2)",
        "password: str",
        "password: str | None = None,",
        "def reset_password(token):",
        "def login(user: str, password: SecretStr, token: Token) -> str:",
        "self.password = password",
        "client.login(password=password, token=self.token)",
        "token = tokens[0]",
        "token = token1",
        'if token == "abc123def": pass',
        'assert token != "abc123def456"',
        "E       AssertionError: expected token, got None",
        "E   assert password == 'x1y2z3'",
        "secrets.txt",
        "cat secrets.txt tokens.json",
        "secret: secrets/prod2.yaml",
        "key_file: /etc/ssl/key1.pem",
        "private key: /home/me/.ssh/id_ed25519",
        "pass",
        "    pass  # nothing 2 do",
        "tests pass: 12",
        "PASS: tests/check_2",
        "--- PASS: TestLogin2 (0.00s)",
        "12 passed in 1.23s",
        "first pass 3a of the compiler",
        "bypass: v2x4y6z8",
        "tokens: 200k",
        '"input_tokens": 1234, "output_tokens":56',
        "max_tokens=4096",
        "token_count: 12",
        "token_type: bearer",
        "token_url=https://x.org/oauth2/token",
        "author: Jane",
        "Author: Jane Doe <jane@example.org>",
        "authors = ['Jane2 Doe']",
        "git pass",
        "auth: enabled",
        "auth = HTTPBasicAuth(user, pw)",
        "password = None",
        "password: null",
        "password=true",
        'password = ""',
        "password: ***",
        "password: <token>",
        "password=$TOKEN",
        "password=${TOKEN}",
        "token: ${{ secrets.GITHUB_TOKEN }}",
        "token: {{ token }}",
        "password=your-password",
        "API_KEY=YOUR_API_KEY",
        '"Authorization": f"Bearer {token}"',
        "Authorization: Bearer $TOKEN",
        "Authorization: Bearer <token>",
        "Authorization header missing",
        "authorization: required",
        "password: must be at least 8 characters",
        '{"password": "This field is required."}',
        "error: password: invalid",
        "SyntaxError: Unexpected token: punc (()",
        "Unexpected token 'x12' in JSON at position 4",
        "  --password TEXT   The password.",
        "  --token-file PATH  Where the token is.",
        "use --token instead of --password",
        "mysql -p shop",
        "mysql -h db -P3306 -p",
        "curl -u $USER:$PASSWORD https://x.org",
        "docker run -u 1000:1000 image",
        "PWD=/home/me/project2",
        "http://localhost:5173/@vite/client",
        "https://registry.example.org/@scope/package",
        "https://x.org/?mail=me@example.org",
        "git+ssh://git@github.com/a/b.git",
        "https://oauth2:${TOKEN}@github.com/a/b",
        "primary key: id1, foreign key: user_id2",
        'for key, value in items.items(): print(f"{key}={value}")',
        "key: 0123456789abcdef0123456789abcdef01234567",
        "sort(key=lambda x1: x1.y2)",
        "signature: def f(x1: int) -> str2",
        "session 3f2a9c1e-0000-4000-8000-000000000000 finished",
        "sha256:" + "0a1b2c3d" * 8,
        "use a cookie: the browser sends it",
        "keyboard: qwerty12345",
        'type="password" name="password2" id="pw1"',
        "tests/test_token.py::test_token_2fa PASSED",
        "tests/unit/test_redact.py:12: in test_password",
        "password reset for user12345",
        "Token::new(x1)",
        "let token: &str = next2(x);",
        "password?: string;",
    ],
)
def test_code_and_prose_about_secrets_stay_readable(harmless):
    assert redact(harmless) == harmless


def test_only_the_value_is_taken_from_each_pair():
    text = "user=jane password=Abc12345 host=db token=Def67890; Cookie: a=b1c2d3; e=f4g5h6"
    assert redact(text) == (
        "user=jane password=[redacted] host=db token=[redacted]; Cookie: a=[redacted]; e=[redacted]"
    )


@pytest.mark.parametrize(
    "part",
    [
        "password",
        "token: ",
        "cookie:a=;",
        "curl -u",
        "://a:b",
        "key=",
        "passphrase: a ",
        "Cookie: a=b;",
        "token=a.b",
    ],
)
def test_long_lines_of_beginnings_come_to_an_end(part):
    assert "\n" not in redact(part * (30_000 // len(part)))
