set -e
echo "One function per operator, then down the tree."
sleep 0.25
cat > calc/evaluate.py <<'PY'
"""Compute the value of an expression."""

import operator

from calc.parse import parse

_OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


def evaluate(text):
    return _value(parse(text))


def _value(tree):
    if isinstance(tree, float):
        return tree
    name, left, right = tree
    return _OPERATORS[name](_value(left), _value(right))
PY
sleep 0.25
cat > tests/test_evaluate.py <<'PY'
import unittest

from calc.evaluate import evaluate


class Evaluate(unittest.TestCase):
    def test_values(self):
        for text, value in (("1+2", 3), ("2*(3+4)", 14), ("-3 + 10/4", -0.5), ("8-3-2", 3)):
            self.assertEqual(evaluate(text), value, text)
PY
echo "Four expressions with known values as a test."
python3 -m unittest tests.test_evaluate
