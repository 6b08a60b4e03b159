"""What stands where a secret could stand and is none: numbers, types, placeholders, code, words."""

from __future__ import annotations

import re

#: Literals, types, algorithms, and what programs say about a password instead of the password.
_WORDS = frozenset(
    b"""true false none null nil undefined yes no on off nan void str string bytes bytearray int integer
    int8 int16 int32 int64 uint8 uint16 uint32 uint64 u8 u16 u32 u64 i32 i64 usize float float32
    float64 double number bool boolean char text varchar varchar255 object any unknown never self
    list dict tuple set map array optional secretstr uuid uuid4 base64 b64 utf8 utf-8 sha1 sha256
    sha512 md5 bcrypt argon2 argon2id scrypt pbkdf2 jwt hs256 rs256 es256 x509 oauth oauth2 openid
    basic bearer digest hmac rsa ed25519 aes256 aes-256-gcm ntlm kerberos saml cookie header headers
    body query required missing invalid valid expired wrong incorrect empty blank unset given
    provided present absent changed ok failed failure passed success error errors denied rejected
    accepted expected unexpected disabled enabled redacted hidden masked secure insecure plain
    default example placeholder changeme optional deprecated revoked instead option options argument
    arguments parameter parameters without authentication authorization login prompt please enter
    should cannot before because through either unless whether reset rotated support configured
    available unavailable supported unsupported generated created updated deleted found ignored
    inherit always sometimes only read write readonly public private admin anonymous production
    staging""".split()
)
_NUMBER = re.compile(
    rb"^[+-]?(?:0x[0-9a-f]{1,16}|[\d.,_]+(?:e[+-]?\d+)?)\s*(?:[kmgt]?i?b?|%|ms|s|h|d|x)?(?:/[\d.,]+\w?)?$",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    rb"^(?:[*\xe2\x80\xa2.\xa6#?_x-]+|<[^<>]*>?|\$(?:[A-Z_][A-Z0-9_]*|[a-z_]+|\{.*|\(.*)|\{.*|%[A-Za-z_]+%|%[a-z]"
    rb"|\[redacted\].*|\[[\w ]*\]?|[A-Z]+(?:[_-][A-Z]+)*|\.\.\..*"
    rb"|(?:your|my|the|some|an?|new|test|fake|dummy)[-_ ][a-z_ -]+)$",
    re.DOTALL,
)
_OWN_NAME = re.compile(
    rb"^(?:(?:[a-z]+[_.-])*|my|your|the|test|fake|dummy|new|old|access|api|auth|user|invalid|bad|client|self\.)"
    rb"(?:pass(?:word|wd|phrase|code)?|pwd|pw|secret|token|key|credential|cookie|auth|sig|signature)s?\d{0,2}$",
    re.IGNORECASE,
)
_PATH = re.compile(
    rb"^(?:(?:~|\.{1,2})?/(?:[\w.@+-]+/?)*|[a-z]:\\.*|[a-z_.-]+(?:/[a-z_.-]+)+/?"
    rb"|[\w./@+-]+\.(?:py|pyi|js|jsx|tsx?|txt|json|ya?ml|pem|key|env|toml|md|rst|sh|go|rs|c|h|cc|cpp|java|rb|php|sql"
    rb"|log|cfg|ini|conf|html|css|crt|cer|lock|xml|svg|png)(?::\d+)*)$",
    re.IGNORECASE,
)
_AWS_SECRET = 40
_TEMPLATE = re.compile(rb"\$\{|\{\{|\$\(|\{[a-z_][\w.]*[\]!}:(\[]|%\(|%s")
#: A call, a subscript, a type with parameters, an attribute, or what can begin no value.
_CODE = re.compile(
    rb"^(?:[*&!]{0,2}[A-Za-z_][\w.:]*[(\[<{].*|[&*!]{0,2}[a-zA-Z_]+(?:[.:|][a-zA-Z_|]+)*[|?]?|[(\[{<>|&].*"
    rb"|[*&]?[A-Za-z_][a-z_0-9]*(?:(?:\.|::|->|\?\.)(?:[a-z_][a-z_0-9]*|[A-Z_]+|[A-Z][A-Za-z]*))+)$",
    re.DOTALL,
)
_ONE_WORD = re.compile(rb"^[A-Za-z_-]+$")
_MESSAGE = re.compile(
    rb"\b(?:required|must|invalid|missing|expired|not|is|are|was|the|field|too|cannot|can|should|please|enter"
    rb"|your|for|to|has|have|failed|wrong|incorrect|characters?|of|with|and|or|in|from|if|an|be)\b",
    re.IGNORECASE,
)
_LETTER = re.compile(rb"[A-Za-z]")
_DIGIT = re.compile(rb"\d")
_SHORTEST_RANDOM = 8
_LONG = 16


def is_harmless(value: bytes) -> bool:
    """It is no secret whatever its name: a number, a literal, a type, a placeholder, a path."""
    value = value.strip()
    if not _LETTER.search(value) and not _DIGIT.search(value) and value.isascii():
        return not value or len(set(value)) == 1 or len(value) < _SHORTEST_RANDOM
    return (
        value.lower() in _WORDS
        or any(shape.match(value) for shape in (_NUMBER, _PLACEHOLDER, _OWN_NAME))
        or bool(_TEMPLATE.search(value))
        or (bool(_PATH.match(value)) and (len(value) != _AWS_SECRET or b"." in value))
    )


def is_code(value: bytes) -> bool:
    """It reads as an expression or a type, and is more than one word."""
    return bool(_CODE.match(value)) and not is_word(value)


def is_word(value: bytes) -> bool:
    """Letters alone, perhaps several words in one."""
    return bool(_ONE_WORD.match(value))


def is_message(value: bytes) -> bool:
    """Words that say something."""
    return bool(_MESSAGE.search(value))


def has_digit_and_letter(value: bytes) -> bool:
    """It has at least one of each."""
    return bool(_DIGIT.search(value)) and bool(_LETTER.search(value))


def looks_random(value: bytes) -> bool:
    """Nobody would write it as a word: letters with digits, or a long mix of small and capital letters."""
    if b" " in value or len(value) < _SHORTEST_RANDOM:
        return False
    mixed = value.lower() != value and value.upper() != value
    return has_digit_and_letter(value) or (mixed and len(value) >= _LONG)
