# What .ci/run and .ci/full share: steps that are timed and counted, and the tools they need. Sourced, not run.

export CARGO_INCREMENTAL=0 CARGO_TERM_COLOR=never
passed=0
failed=0
summary=()
work=$(mktemp -d "${TMPDIR:-/tmp}/hearth-ci-XXXXXX")
chmod 711 "$work"

# step NAME COMMAND...: runs it, says how long it took, and adds up what it says it checked. A command that
# says nothing of the kind is one check.
step() {
    local name=$1 started=$SECONDS code=0 good bad
    shift
    printf '\n==== %s\n' "$name"
    "$@" > >(tee "$work/output") 2>&1 || code=$?
    wait $! 2>/dev/null || true
    # libtest's last lines, and of our own the last one: it is the sum of those before.
    read -r good bad < <(awk '
        /^test result: / { for (i = 1; i <= NF; i++) { if ($i == "passed;") good += $(i-1); if ($i == "failed;") bad += $(i-1) } }
        /^[0-9]+ passed, [0-9]+ failed$/ { own_good = $1; own_bad = $3 }
        END { print good + own_good, bad + own_bad }' "$work/output")
    if ((code != 0 && bad == 0)); then bad=1; fi
    if ((code == 0 && good == 0)); then good=1; fi
    passed=$((passed + good))
    failed=$((failed + bad))
    summary+=("$(printf '%-12s %5d passed %4d failed  %s' "$name" "$good" "$bad" "$(minutes $((SECONDS - started)))")")
    return 0
}

minutes() { printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); }

# finish: the table and the last line; fails when anything failed.
finish() {
    printf '\n'
    printf '%s\n' "${summary[@]}"
    printf 'all of it in %s\n%d passed, %d failed\n' "$(minutes $SECONDS)" "$passed" "$failed"
    rm -rf "$work"
    ((failed == 0 && passed > 0))
}

# need PROGRAM PACKAGE: installs the distribution's package where the program is missing.
need() {
    # A program: a step may have the same name.
    type -P "$1" >/dev/null || install "$2"
}

install() {
    local root=()
    if ((EUID != 0)); then root=(sudo); fi
    if [[ ! -e $work/updated ]]; then
        "${root[@]}" apt-get update -qq && touch "$work/updated"
    fi
    DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get install -y -qq --no-install-recommends "$@"
}

tools() {
    command -v cargo >/dev/null || { echo "Rust is missing: see https://rustup.rs"; return 1; }
    command -v cc >/dev/null || install gcc libc6-dev
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || need initdb postgresql
    cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
    cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
}

client_tools() {
    need python3 python3
    python3 -c 'import venv, ensurepip' 2>/dev/null || install python3-venv
    need npm npm
}

# The server is started by the README's command, in a folder of its own, without rate limits.
real_clients() (
    port=$((20000 + RANDOM % 10000))
    export HEARTH_DATA_DIR=$work/data HEARTH_LISTEN=127.0.0.1:$port HEARTH_LIMITS__ENABLED=false
    # Nobody waits for minutes until somebody goes idle.
    export HEARTH_PRESENCE__ACTIVE_FOR=2s HEARTH_PRESENCE__IDLE_AFTER=5s HEARTH_PRESENCE__OFFLINE_AFTER=3s
    client_tools || exit 1
    grep -q 'cargo run --release' README.md || { echo "the README starts the server otherwise"; exit 1; }
    cargo build --release || exit 1
    cargo run --release >"$work/server.log" 2>&1 &
    # Cargo becomes the server.
    server=$!
    trap 'kill -TERM "$server" 2>/dev/null; wait "$server"' EXIT
    for ((waited = 0; waited < 300; waited++)); do
        if ready "$port"; then break; fi
        kill -0 "$server" 2>/dev/null || break
        sleep 1
    done
    ready "$port" || { cat "$work/server.log"; exit 1; }
    clients/run "http://127.0.0.1:$port" "$(target/release/hearth registration token)"
)

# Whether the server on this port says that it is.
ready() {
    local line
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf 'GET /ready HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' >&3
    read -r -t 5 line <&3
    exec 3>&-
    [[ $line == *' 200 '* ]]
} 2>/dev/null

crash() { HEARTH_SPEC_CRASH_ROUNDS=$1 cargo test --test spec -- process::crash; }
