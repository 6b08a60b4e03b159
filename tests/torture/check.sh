#!/bin/sh
# A check: notes the tree it saw and what it found; red where two tasks do not go together.
# The one called flaky is red when it sees a tree for the first time.
round=${HOME%/home}
tree=$(git rev-parse 'HEAD^{tree}') || exit 1
changed=$(git status --porcelain | head -c 300 | tr '\n' ';')
verdict=passed
[ -e red-a.txt ] && [ -e red-b.txt ] && verdict=failed
[ "$1" = flaky ] && mkdir "$round/flaky/$tree" 2>/dev/null && verdict=failed
[ "$1" = flaky ] && echo "$tree $YOKE_SESSION $verdict" >>"$round/flaky.log"
echo "$1 $tree $verdict $changed" >>"$round/checks.log"
[ $verdict = passed ]
