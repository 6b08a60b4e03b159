set -e
echo "An expression has numbers, four operators and parentheses."
sleep 0.4
cat > calc/tokens.py <<'PY'
"""Split an expression into tokens."""

import re

_TOKEN = re.compile(r"\s*(\d+\.?\d*|\.\d+|[-+*/()])")


def tokens(text):
    found, place = [], 0
    text = text.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"cannot read {text[place:].strip()!r}")
        found.append(match.group(1))
        place = match.end()
    return found
PY
echo "Wrote calc/tokens.py, now the tests."
sleep 0.4
cat > tests/test_tokens.py <<'PY'
import unittest

from calc.tokens import tokens


class Tokens(unittest.TestCase):
    def test_numbers_and_operators(self):
        self.assertEqual(tokens("1 + 2.5*(3)"), ["1", "+", "2.5", "*", "(", "3", ")"])

    def test_names_what_it_cannot_read(self):
        with self.assertRaisesRegex(ValueError, "'x'"):
            tokens("1 + x")
PY
python3 -m unittest tests.test_tokens
