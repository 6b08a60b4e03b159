set -e
echo "3.0 is printed as 3, and a third gets ten digits."
sleep 0.9
cat > calc/number.py <<'PY'
"""Numbers as people write them."""


def shown(value):
    return f"{value:.10g}"
PY
cat > tests/test_number.py <<'PY'
import unittest

from calc.number import shown


class Number(unittest.TestCase):
    def test_shown(self):
        self.assertEqual([shown(3.0), shown(0.5), shown(1 / 3)], ["3", "0.5", "0.3333333333"])
PY
sleep 0.9
python3 -m unittest tests.test_number
