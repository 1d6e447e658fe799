#!/usr/bin/env bash
# Run the job of a rule: bash scripts/job.sh [--show | --show-errors] results/digits/logs/collect.log python -m vlmfrontier collect …
#
# What it says is appended to the log under a line that names place, attempt and moment; with --show also shown, with
# --show-errors only its errors. How it ends is kept beside the log (<log>.ended.json, see results/README.md). The script
# itself says that best; this says it where a script cannot: no Python, a broken package, a process that was killed.
set -u

show=
case $1 in --show | --show-errors) show=$1 && shift ;; esac
log=$1 && shift
record=${log%.log}.ended.json
LARGEST=1048576 # bytes: a larger log is set aside when the next attempt starts, and replaces the one set aside before

moment() { date -u +%Y-%m-%dT%H:%M:%S+00:00; }
recorded() { sed -n "s/^ *\"$1\": \"\{0,1\}\([a-z0-9]*\).*/\1/p" "$record" 2> /dev/null | head -n 1; }
replace() { { cat > "$record.$$" && mv -f "$record.$$" "$record" || rm -f "$record.$$"; } 2> /dev/null; }

begin() {
    local host place job=null
    host=$(uname -n)
    place="on $host"
    if [ -n "${SLURM_JOB_ID:-}" ]; then job="\"$SLURM_JOB_ID\"" place="Slurm job $SLURM_JOB_ID on $host"; fi
    mkdir -p "$(dirname "$log")"
    if [ -f "$log" ] && [ "$(wc -c < "$log")" -gt $LARGEST ]; then mv -f "$log" "$log.old"; fi
    echo "$place — attempt $attempt, $(moment)" 2> /dev/null >> "$log"
    replace << END
{
  "state": "started",
  "attempt": $attempt,
  "status": null,
  "reason": "",
  "host": "$host",
  "node": "${SLURMD_NODENAME:-}",
  "begun": false,
  "own_words": true,
  "pid": $$,
  "slurm_job_id": $job,
  "slurm_restarts": ${SLURM_RESTART_COUNT:-0},
  "started": "$(moment)",
  "ended": null
}
END
}

run() {
    case $show in
        --show) "$@" 2>&1 | tee -a "$log"; return "${PIPESTATUS[0]}" ;;
        --show-errors) "$@" 2>&1 >> "$log" | tee -a "$log" >&2; return "${PIPESTATUS[0]}" ;;
        *) "$@" >> "$log" 2>&1 ;;
    esac
}

# Say how the command ended, unless it did so itself, or a later attempt has begun.
finish() {
    local name state=failed reason="ended without a word, exit status $1"
    [ "$(recorded attempt)" = "$attempt" ] || return
    case $1:$(recorded state) in
        0:started) state=done reason= ;;
        0:* | *:failed | *:interrupted) return ;;
        126:* | 127:*) reason="the command cannot be started, exit status $1" ;;
        129:* | 130:* | 138:* | 143:*) state=interrupted reason="ended by SIG$(kill -l "$1")" ;;
        137:*) reason="ended by SIGKILL: killed by hand, or out of memory" ;;
        *) if name=$(kill -l "$1" 2> /dev/null) && [ "$1" -gt 128 ]; then reason="ended by SIG$name"; fi ;;
    esac
    if [ -n "$asked" ] && [ $state = failed ]; then state=interrupted reason="ended by SIG$asked, exit status $1"; fi
    sed -e "s/^  \"state\": .*/  \"state\": \"$state\",/" -e "s/^  \"status\": .*/  \"status\": $1,/" \
        -e "s/^  \"own_words\": .*/  \"own_words\": false,/" -e "s/^  \"reason\": .*/  \"reason\": \"$reason\",/" \
        -e "s/^  \"ended\": [^,]*/  \"ended\": \"$(moment)\"/" \
        "$record" | replace
}

# The command gets signals too, and may need time to save: this waits for it.
asked=
for signal in HUP INT TERM USR1; do trap "asked=$signal" $signal; done

attempt=$(recorded attempt | grep -x "[1-9][0-9]\{0,8\}")
attempt=$((${attempt:-0} + 1))
begin
VLMFRONTIER_LOG=$log VLMFRONTIER_ATTEMPT=$attempt run "$@"
status=$?
finish $status
exit $status
