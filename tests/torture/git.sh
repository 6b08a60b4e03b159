#!/bin/sh
# First on PATH: counts the calls of the orchestrator, and at the one that $TORTURE_GIT names kills it,
# or git, or both. $TORTURE_GIT is NUMBER:MODE; the words between at signs are filled in for each round.
real=@GIT@ round=@ROUND@
[ -n "$TORTURE_GIT" ] && [ -e "$round/orchestrator" ] || exec "$real" "$@"
read -r pid <"$round/orchestrator"
[ "$PPID" = "$pid" ] || exec "$real" "$@"
printf x >>"$round/calls"
count=$(stat -c %s "$round/calls")
if [ "$count" -lt "${TORTURE_GIT%:*}" ] || ! mkdir "$round/fired" 2>/dev/null; then
    exec "$real" "$@"
fi
echo "$TORTURE_GIT: $*" >>"$round/fired.log"
case ${TORTURE_GIT#*:} in
before) kill -9 "$pid" ;;
meanwhile) kill -9 "$pid"; sleep 0.05; exec "$real" "$@" ;;
late) kill -9 "$pid"; sleep 1.5; exec "$real" "$@" ;;
after) "$real" "$@" && kill -9 "$pid" ;;
midway) exec 3<&0; "$real" "$@" <&3 & git=$!; sleep 0.002; kill -9 "$pid" "$git" ;;
git) exec 3<&0; "$real" "$@" <&3 & git=$!; sleep 0.002; kill -9 "$git"; wait "$git" ;;
esac
