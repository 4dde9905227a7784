#!/usr/bin/env bash
# Fuzzes targets for a time each, some at once, and prints a table.
#
#   fuzz/campaign.sh SECONDS [TARGET…]          all targets when none is named
#   fuzz/campaign.sh --keep SECONDS [TARGET…]   and takes the best of what was found into the committed corpora
#
# JOBS (default 2) are run at a time. What is found lies in Cargo's target folder, so the next run goes on from there; so do
# the logs, and the inputs that broke something. The exit code is 1 when there are such.
set -euo pipefail
shopt -s inherit_errexit nullglob
cd "$(dirname "${BASH_SOURCE[0]}")/.."

main() {
    local keep=
    if [ "${1-}" = --keep ]; then keep=1 && shift; fi
    local seconds=${1-}
    [[ $seconds =~ ^[1-9][0-9]*$ ]] || fail "the seconds for each target come first: fuzz/campaign.sh 300 [TARGET…]"
    shift
    local targets=("$@") target
    [ $# -gt 0 ] || mapfile -t targets < <(all_targets)
    for target in "${targets[@]}"; do
        [ -f "fuzz/fuzz_targets/$target.rs" ] || fail "there is no target '$target': they are $(all_targets | paste -sd' ')"
    done

    home=$(target_folder)/fuzz
    mkdir -p "$home/log" "$home/artifacts"
    build "${targets[@]}"
    local running=0
    for target in "${targets[@]}"; do
        if [ $((running++)) -ge "${JOBS:-2}" ]; then wait -n || true; fi
        run "$target" "$seconds" &
    done
    wait || true
    [ -z "$keep" ] || for target in "${targets[@]}"; do keep_best "$target"; done
    table "${targets[@]}"
}

all_targets() { for path in fuzz/fuzz_targets/*.rs; do basename "$path" .rs; done; }

target_folder() {
    if [ -n "${CARGO_TARGET_DIR-}" ]; then
        mkdir -p "$CARGO_TARGET_DIR" && (cd "$CARGO_TARGET_DIR" && pwd)
    else
        cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'
    fi
}

# A stable compiler takes the fuzzer's options when told so; without a sanitizer, since there is no unsafe code to look into.
build() {
    local only=()
    [ $# -gt 1 ] || only=("$1")
    RUSTC_BOOTSTRAP=1 cargo fuzz build -s none --no-default-features --features fuzzer --target-dir "$home" "${only[@]}"
}

program() { printf '%s/%s/release/%s' "$home" "$(rustc -vV | sed -n 's/^host: //p')" "$1"; }

run() {
    local target=$1 seconds=$2 log=$home/log/$1.log status=0 dictionary
    dictionary=$(dictionary "$target")
    mkdir -p "$home/found/$target"
    rm -f "$home/artifacts/$target-"*
    # A run that is told to end in time by its own clock may hang in an input: then somebody else ends it.
    timeout -k 5 $((seconds + 120)) "$(program "$target")" "$home/found/$target" "fuzz/corpus/$target" \
        ${dictionary:+"-dict=fuzz/dictionaries/$dictionary.dict"} \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$home/artifacts/$target-" >"$log" 2>&1 || status=$?
    echo "$status" >"$log.status"
    if [ "$status" -ne 0 ]; then
        echo "--- $target ended with status $status; of $log:"
        grep -a -A2 -e 'panicked at' -e '^SUMMARY' -e 'Test unit written' "$log" | cut -c1-2000 | tail -n 12
    fi
}

# The words that an input of this target is likely to need; those of choices need none.
dictionary() {
    case $1 in
        cbor | cose | claims | payloads | evidence) echo claims ;;
        agent_messages | attester_messages) echo claims ;;
        requests | responses | give | answers | origin) echo http ;;
        dns_queries | dns_replies) echo dns ;;
        attester_config) echo attester_config ;;
        agent_config) echo agent_config ;;
    esac
}

# A selection of every size out of a smallest set that reaches what all inputs reach, as far as the corpus' limits allow.
keep_best() {
    local target=$1 cover=$home/cover/$1 committed=fuzz/corpus/$1
    rm -rf "$cover" && mkdir -p "$cover"
    cp "$committed"/* "$cover/"
    "$(program "$target")" -set_cover_merge=1 "$cover" "$home/found/$target" >"$home/log/$target.merge" 2>&1
    local files=() room bytes size index
    mapfile -t files < <(find "$cover" -type f -not -name 'seed-*' -printf '%s %p\n' | sort -n | cut -d' ' -f2-)
    # Those that were kept before are among them.
    rm -f "$committed"/found-*
    room=$((MOST_FILES - $(find "$committed" -type f | wc -l)))
    [ "$room" -ge "$LEAST_FOUND" ] || room=$LEAST_FOUND
    [ "$room" -le ${#files[@]} ] || room=${#files[@]}
    bytes=$(cat "$committed"/* | wc -c)
    for ((index = 0; index < room; index++)); do
        local file=${files[index * ${#files[@]} / room]}
        size=$(wc -c <"$file")
        [ $((bytes += size)) -le "$MOST_BYTES" ] || break
        cp "$file" "$committed/found-$(sha256sum "$file" | cut -c1-12)"
    done
}

table() {
    local target crashed=0
    printf '\n%-18s %12s %9s %7s %9s %7s %s\n' target executions per-s edges features corpus broken
    for target in "$@"; do
        local log=$home/log/$target.log last executions seconds status artifacts=()
        status=$(cat "$log.status")
        last=$(grep -a '^#.* cov: ' "$log" | tail -n 1 || true)
        executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        seconds=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
        [ "$seconds" != 0 ] || seconds=
        artifacts=("$home/artifacts/$target-"*)
        printf '%-18s %12s %9s %7s %9s %7s %s\n' "$target" "${executions:--}" "${seconds:--}" \
            "$(word cov: "$last")" "$(word ft: "$last")" "$(word corp: "$last" | cut -d/ -f1)" \
            "$([ "$status" = 0 ] && echo no || echo "YES (status $status)")"
        if [ "$status" != 0 ]; then
            crashed=1
            for artifact in "${artifacts[@]}"; do
                echo "    $artifact"
                echo "    cargo run -p fuzz --bin fuzz-one -- $target $artifact"
            done
        fi
    done
    return "$crashed"
}

word() { awk -v key="$1" '{ for (i = 1; i < NF; i++) if ($i == key) found = $(i + 1) } END { print found == "" ? "-" : found }' <<<"$2"; }

fail() { echo "campaign: $*" >&2 && exit 2; }

# Of a committed corpus, in all, and of what was found in any case. `tests/corpus.rs` holds a corpus to more, so that seeds can be added.
MOST_FILES=50
MOST_BYTES=40000
LEAST_FOUND=12
home=

main "$@"
