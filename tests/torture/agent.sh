#!/bin/sh
# In place of Claude Code: does a task as the folder of its round says, and misbehaves as told there.
# $round/doing/TASK does the work, line n of $round/behaviour/TASK says how the n-th start goes.
prompt=$(cat)
round=${HOME%/home} task=$YOKE_TASK session=$YOKE_SESSION cap= made=0
while [ $# -gt 0 ]; do
    [ "$1" = --max-budget-usd ] && cap=$2
    shift
done

git rev-parse -q --verify MERGE_HEAD >/dev/null && . "${0%/*}/resolve.sh"

# The kernel gives the lock back when the last process of the session is gone.
exec 9>>"$round/locks/$task"
flock -n 9 || echo "overlap $task $session" >>"$round/sessions.log"
# A kill may come after any line: what was heard is noted before it is known that there was somebody to hear.
case $prompt in *"Blue for $task."*) echo "$task $session" >>"$round/answered.log" ;; esac
echo "start $task $session" >>"$round/sessions.log"
echo "$session" >>"$round/starts/$task"
number=$(wc -l <"$round/starts/$task")
how=$(sed -n "${number}p" "$round/behaviour/$task")

micro() { # dollars with six places as millionths
    digits=${1%.*}${1#*.}
    zeros=${digits%%[!0]*}
    digits=${digits#"$zeros"}
    echo "${digits:-0}"
}

dollars() {
    printf '%d.%06d' $(($1 / 1000000)) $(($1 % 1000000))
}

price=$(cat "$round/cost/$task" 2>/dev/null || echo 0)
limit=$price
[ -n "$cap" ] && [ "$(micro "$cap")" -lt "$price" ] && limit=$(micro "$cap")

claim() { # what is spent is written down before it is told
    [ "$1" -gt 0 ] || return 0
    echo "$session $task $1" >>"$round/claims.log"
}

tell() {
    printf '{"type":"assistant","message":{"id":"%s","model":"torture","usage":{"input_tokens":%d,"output_tokens":0},"content":[]}}\n' "$1" "$2"
}

finish() {
    claim $((limit - limit / 2))
    error=false subtype=success
    [ "$limit" -lt "$price" ] && error=true subtype=error_max_budget_usd
    printf '{"type":"result","subtype":"%s","is_error":%s,"result":"done","total_cost_usd":%s,"modelUsage":{"torture":{"inputTokens":%d,"outputTokens":0,"costUSD":%s}}}\n' \
        "$subtype" "$error" "$(dollars "$limit")" "$limit" "$(dollars "$limit")"
    echo "stop $task $session" >>"$round/sessions.log"
    exit 0
}

work() {
    . "$round/doing/$task"
}

save() { # a commit that must be found again, whatever becomes of the session
    made=$((made + 1))
    git add -A && git commit -q -m "Work of $task

torture-$session-$made" && echo "torture-$session-$made" >>"$round/commits.log"
}

half() {
    echo "$session" >"half-$task.txt"
}

admin=$(git rev-parse --absolute-git-dir)
claim $((limit / 2))
tell first $((limit / 2))

case ${how:-good} in
good) work; save; finish ;;
uncommitted) work; finish ;;
slow) work; sleep 0.4; save; sleep 0.2; finish ;;
twice) half; save; rm "half-$task.txt"; work; save; finish ;;
elsewhere) git switch -q -c "mine-$session"; work; save; finish ;;
detached) git switch -q --detach; work; save; finish ;;
daemon) work; save; env -i PATH="$PATH" setsid sh -c 'sleep 611' >/dev/null 2>&1 & sleep 0.05; finish ;;
flood) work; yes 'a flood of words' | head -c 3000000; head -c 20000 /dev/urandom; echo; finish ;;
ignored) work; mkdir -p build; echo "$session" >build/cache; echo "$session" >.env; save; finish ;;
nested) work; git init -q "nested-$task"; echo x >"nested-$task/x"; git -C "nested-$task" add x
    git -C "nested-$task" commit -q -m nested; finish ;;
target) work; save; git update-ref refs/heads/main HEAD 2>/dev/null
    # Past the hook that refuses it.
    git -c core.hooksPath=/dev/null update-ref refs/heads/main HEAD; sleep 0.2; finish ;;
merge-main) work; save; git -c core.hooksPath=/dev/null -C ../.. merge -q --ff-only "$(git rev-parse HEAD)"; sleep 0.1; finish ;;
push) work; save; git push -q --force . HEAD:refs/heads/main 2>/dev/null; finish ;;
prune) work; save; echo "$session" >>"$round/pruned.log"; git gc -q --prune=now; finish ;;
crash) half; save; exit 3 ;;
die) half; kill -9 $$ ;;
orphaned) half; save; kill -9 $PPID; sleep 5 ;;
hang) half; save; trap '' TERM INT HUP; while :; do sleep 1; done ;;
wipe) half; save; rm -rf -- "$PWD"; exit 1 ;;
nogit) work; save; echo "$session" >"extra-$task.txt"; rm -f .git; finish ;;
index) work; save; echo "$session" >"extra-$task.txt"; echo rubbish >"$admin/index"; finish ;;
head) half; save; echo rubbish >"$admin/HEAD"; exit 1 ;;
locked) work; touch "$admin/index.lock" "$admin/HEAD.lock"; finish ;;
merging) half; save; git switch -q -c "side-$session" HEAD~1; echo other >"half-$task.txt"; save
    git merge -q -m merge "HEAD@{1}" >/dev/null; exit 1 ;;
rebasing) half; save; GIT_SEQUENCE_EDITOR='sed -i 1s/pick/edit/' git rebase -q -i HEAD~1 >/dev/null 2>&1; exit 1 ;;
orphan) git switch -q --orphan "orphan-$session"; half; save; finish ;;
empty) finish ;;
ask) half; save; echo "Which colour has $task?" >"$YOKE_QUESTION"; echo "$task $session" >>"$round/asked.log"; finish ;;
esac
exit 1
