# A PostgreSQL and processes of its own for one script, all gone when it ends. Sourced, not run.

work=$(mktemp -d "${TMPDIR:-/tmp}/hearth-ci-XXXXXX")
chmod 711 "$work"
owner=$(id -un)
if ((EUID == 0)); then owner=$(id -un postgres 2>/dev/null || echo nobody); fi
pids=()

leave() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$work"
}
trap leave EXIT

# PostgreSQL and PgBouncer do not run as root.
as_owner() {
    if ((EUID == 0)); then
        (cd / && exec setpriv --reuid="$owner" --regid="$(id -g "$owner")" --clear-groups "$@")
    else
        (cd / && exec "$@")
    fi
}

# within SECONDS COMMAND...: tries it until it succeeds.
within() {
    local patience=$1
    shift
    for ((tries = 0; tries < patience * 10; tries++)); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    return 1
}

# start_postgres: one at $postgres_port of the loopback, with what it keeps in $work/pg.
start_postgres() {
    local bin
    bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
    postgres_port=$((20000 + RANDOM % 5000))
    mkdir "$work/pg"
    if ((EUID == 0)); then chown "$owner" "$work/pg"; fi
    as_owner "$bin/initdb" -D "$work/pg/data" -U hearth --auth=trust -E UTF8 --locale=C --no-sync >/dev/null
    as_owner "$bin/postgres" -D "$work/pg/data" -p "$postgres_port" -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories= >"$work/postgres.log" 2>&1 &
    pids+=($!)
    within 60 "$bin/pg_isready" -h 127.0.0.1 -p "$postgres_port"
}
