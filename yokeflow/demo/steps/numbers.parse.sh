set -e
echo "Sums are made of products, products of factors."
sleep 0.7
echo "A factor is a number, a sign before a factor, or a sum in parentheses."
sleep 0.7
cat > calc/parse.py <<'PY'
"""Turn tokens into a tree of (operator, left, right) and numbers."""

from calc.tokens import tokens


def parse(text):
    rest = tokens(text)
    tree = _sum(rest)
    if rest:
        raise ValueError(f"did not expect {rest[0]!r}")
    return tree


def _sum(rest):
    tree = _product(rest)
    while rest and rest[0] in "+-":
        tree = (rest.pop(0), tree, _product(rest))
    return tree


def _product(rest):
    tree = _factor(rest)
    while rest and rest[0] in "*/":
        tree = (rest.pop(0), tree, _factor(rest))
    return tree


def _factor(rest):
    if not rest:
        raise ValueError("the expression ends too early")
    token = rest.pop(0)
    if token == "-":
        return ("-", 0.0, _factor(rest))
    if token != "(":
        return float(token)
    tree = _sum(rest)
    if not rest or rest.pop(0) != ")":
        raise ValueError("a parenthesis is not closed")
    return tree
PY
echo "Wrote calc/parse.py."
sleep 0.7
echo "Left to right within one level: 8 - 3 - 2 is 3."
sleep 0.7
cat > tests/test_parse.py <<'PY'
import unittest

from calc.parse import parse


class Parse(unittest.TestCase):
    def test_products_bind_tighter(self):
        self.assertEqual(parse("1 + 2 * 3"), ("+", 1.0, ("*", 2.0, 3.0)))

    def test_left_to_right(self):
        self.assertEqual(parse("8 - 3 - 2"), ("-", ("-", 8.0, 3.0), 2.0))

    def test_parentheses(self):
        self.assertEqual(parse("(1 + 2) * 3"), ("*", ("+", 1.0, 2.0), 3.0))
PY
python3 -m unittest tests.test_parse
