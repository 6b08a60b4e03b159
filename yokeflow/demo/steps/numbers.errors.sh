set -e
echo "What can go wrong: division by zero, an open parenthesis, an early end."
sleep 0.25
cat > calc/errors.py <<'PY'
"""Evaluate, with every mistake as a ValueError that a person understands."""

from calc.evaluate import evaluate


def checked(text):
    if not text.strip():
        raise ValueError("there is nothing to compute")
    try:
        return evaluate(text)
    except ZeroDivisionError:
        raise ValueError("division by zero") from None
PY
cat > tests/test_errors.py <<'PY'
import unittest

from calc.errors import checked


class Errors(unittest.TestCase):
    def test_every_mistake_has_a_sentence(self):
        for text, sentence in (("1/0", "zero"), ("(1", "not closed"), ("1+", "too early"), (" ", "nothing")):
            with self.assertRaisesRegex(ValueError, sentence):
                checked(text)
PY
sleep 0.25
python3 -m unittest tests.test_errors
