set -e
echo "Examples that were really run."
sleep 0.25
{
  echo "# Examples"
  for expression in "1 + 2" "2 * (3 + 4)" "10 / 4" "-3 + 0.5"; do
    echo
    echo "    \$ python3 -m calc \"$expression\""
    echo "    $(python3 -m calc "$expression")"
  done
} > EXAMPLES.md
cat EXAMPLES.md
