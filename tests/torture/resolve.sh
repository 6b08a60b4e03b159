# Sourced by agent.sh in a worktree in which a merge has stopped: resolves it, or spoils it.
# Line n of $round/resolving says how the n-th who tries does it; all further ones do it well.
echo "$session" >>"$round/resolvers"
how=$(sed -n "$(wc -l <"$round/resolvers")p" "$round/resolving")
mine=$(git rev-parse HEAD) theirs=$(git rev-parse MERGE_HEAD)

both() {
    { git show "$mine:shared.txt"; git show "$theirs:shared.txt"; } | sort -u >shared.txt
}

save() { # a commit that must be found again, whatever becomes of it
    git add -A && git commit -q -m "Resolve

torture-$session-$1" && echo "torture-$session-$1" >>"$round/commits.log"
}

finish() {
    printf '{"type":"result","subtype":"success","is_error":false,"result":"done","total_cost_usd":0}\n'
    echo "resolved $YOKE_EPIC $session" >>"$round/resolved.log"
    exit 0
}

echo "$how" >half-resolve.txt
case ${how:-well} in
well) rm half-resolve.txt; both; finish ;;
committed) rm half-resolve.txt; both; save 1; finish ;;
elsewhere) rm half-resolve.txt; git switch -q -c "mine-$session"; both; save 1; finish ;;
nothing) rm half-resolve.txt; finish ;;
markers) save 1; finish ;;
drop) both; git rm -q -r --cached --ignore-unmatch own e0.txt e1.txt; rm -rf own e0.txt e1.txt; save 1; finish ;;
abort) git merge --abort; save 1; finish ;;
crash) both; save 1; exit 3 ;;
die) kill -9 $$ ;;
orphaned) both; save 1; kill -9 $PPID; sleep 5 ;;
hang) both; trap '' TERM INT HUP; while :; do sleep 1; done ;;
wipe) rm -rf -- "$PWD"; exit 1 ;;
target) rm half-resolve.txt; both; save 1; git update-ref refs/heads/main HEAD; sleep 0.2; finish ;;
esac
exit 1
