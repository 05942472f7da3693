#!/bin/bash
# The contract of the official `postgres` image, written anew from its documentation:
#   as root: makes PGDATA and the socket folder, then goes on as user postgres
#   no data yet: initdb, a server on the unix socket only, POSTGRES_DB, the init scripts
#   then, and at every later start: becomes the given command
set -Eeuo pipefail

SOCKET_DIR=/var/run/postgresql
SCRIPTS=/docker-entrypoint-initdb.d

fail() {
    printf 'Error: %s\n' "$*" >&2
    exit 1
}

# POSTGRES_X, or the content of the file that POSTGRES_X_FILE names, or a default.
read_setting() {
    local name=$1 default=${2-} file_name="$1_FILE"
    if [[ -n ${!name-} && -n ${!file_name-} ]]; then
        fail "both $name and $file_name are set, but only one may be"
    fi
    local value=${!name-$default}
    if [[ -n ${!file_name-} ]]; then
        value=$(<"${!file_name}")
    fi
    export "$name=$value"
    unset "$file_name"
}

read_settings() {
    read_setting POSTGRES_PASSWORD
    read_setting POSTGRES_USER postgres
    read_setting POSTGRES_DB "$POSTGRES_USER"
    read_setting POSTGRES_INITDB_ARGS
    : "${POSTGRES_HOST_AUTH_METHOD:=}"
}

wants_help() {
    local argument
    for argument; do
        case $argument in
            -\? | --help | --describe-config | -V | --version) return 0 ;;
        esac
    done
    return 1
}

make_folders() {
    mkdir -p "$PGDATA"
    chmod 00700 "$PGDATA" || :
    mkdir -p "$SOCKET_DIR" || :
    chmod 03775 "$SOCKET_DIR" || :
    if [[ -n ${POSTGRES_INITDB_WALDIR-} ]]; then
        mkdir -p "$POSTGRES_INITDB_WALDIR"
        chmod 700 "$POSTGRES_INITDB_WALDIR"
    fi
    if ((EUID == 0)); then
        find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
        find "$SOCKET_DIR" \! -user postgres -exec chown postgres '{}' +
        if [[ -n ${POSTGRES_INITDB_WALDIR-} ]]; then
            find "$POSTGRES_INITDB_WALDIR" \! -user postgres -exec chown postgres '{}' +
        fi
    fi
}

# initdb insists on a name for its own uid; a runAsUser of 70 or 26 has none in /etc/passwd.
lend_a_name() {
    getent passwd "$EUID" >/dev/null && return
    local library
    library=$(find /usr/lib -name libnss_wrapper.so -print -quit)
    [[ -n $library ]] || return 0
    NSS_WRAPPER_PASSWD=$(mktemp)
    NSS_WRAPPER_GROUP=$(mktemp)
    export LD_PRELOAD=$library NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
    printf 'postgres:x:%s:%s:PostgreSQL:%s:/bin/false\n' "$EUID" "$(id -g)" "$PGDATA" \
        >"$NSS_WRAPPER_PASSWD"
    printf 'postgres:x:%s:\n' "$(id -g)" >"$NSS_WRAPPER_GROUP"
}

take_the_name_back() {
    [[ -n ${NSS_WRAPPER_PASSWD-} ]] || return 0
    rm -f "$NSS_WRAPPER_PASSWD" "$NSS_WRAPPER_GROUP"
    unset LD_PRELOAD NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
}

check_password() {
    [[ -n $POSTGRES_PASSWORD || $POSTGRES_HOST_AUTH_METHOD == trust ]] && return
    fail "the database is not initialised and the superuser has no password:" \
        "set POSTGRES_PASSWORD, or POSTGRES_HOST_AUTH_METHOD=trust to let anyone in without one"
}

initialise() {
    local waldir=()
    if [[ -n ${POSTGRES_INITDB_WALDIR-} ]]; then
        waldir=(--waldir "$POSTGRES_INITDB_WALDIR")
    fi
    lend_a_name
    # The arguments are words of a shell command line, quotes and all.
    eval 'initdb --username="$POSTGRES_USER" --pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD")' \
        '"${waldir[@]}"' "$POSTGRES_INITDB_ARGS"
    take_the_name_back
    local method=${POSTGRES_HOST_AUTH_METHOD:-$(postgres -C password_encryption)}
    printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
}

start_temporary_server() {
    PGUSER=${PGUSER:-$POSTGRES_USER} NOTIFY_SOCKET="" pg_ctl -D "$PGDATA" -w start \
        -o "$(printf '%q ' "$@" -c listen_addresses='' -p "${PGPORT:-5432}")"
}

stop_temporary_server() {
    PGUSER=${PGUSER:-postgres} pg_ctl -D "$PGDATA" -m fast -w stop
}

run_sql() {
    PGHOST='' PGHOSTADDR='' PGPASSWORD=$POSTGRES_PASSWORD psql -v ON_ERROR_STOP=1 \
        --no-psqlrc --no-password --username "$POSTGRES_USER" "$@"
}

create_database() {
    [[ $POSTGRES_DB == postgres ]] && return
    local found
    found=$(run_sql --dbname postgres --set db="$POSTGRES_DB" --tuples-only \
        <<<"SELECT 1 FROM pg_database WHERE datname = :'db';")
    [[ -n $found ]] && return
    run_sql --dbname postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
}

run_init_scripts() {
    local file
    for file in "$SCRIPTS"/*; do
        printf '%s: running %s\n' "$0" "$file"
        case $file in
            *.sh) if [[ -x $file ]]; then "$file"; else . "$file"; fi ;;
            *.sql) run_sql --dbname "$POSTGRES_DB" --file "$file" ;;
            *.sql.gz) gunzip --stdout "$file" | run_sql --dbname "$POSTGRES_DB" ;;
            *.sql.xz) xzcat "$file" | run_sql --dbname "$POSTGRES_DB" ;;
            *) printf '%s: ignoring %s\n' "$0" "$file" ;;
        esac
    done
}

first_start() {
    check_password
    initialise
    export PGPASSWORD=${PGPASSWORD-$POSTGRES_PASSWORD}
    start_temporary_server "${@:2}"
    create_database
    shopt -s nullglob
    run_init_scripts
    stop_temporary_server
    unset PGPASSWORD
    printf '\nPostgreSQL init process complete; ready for start up.\n\n'
}

main() {
    if [[ ${1-} == -* ]]; then
        set -- postgres "$@"
    fi
    if [[ ${1-} == postgres ]] && ! wants_help "$@"; then
        read_settings
        make_folders
        if ((EUID == 0)); then
            exec gosu postgres "$0" "$@"
        fi
        if [[ ! -s $PGDATA/PG_VERSION ]]; then
            first_start "$@"
        else
            printf '\nPostgreSQL Database directory appears to contain a database; skipping it.\n\n'
        fi
    fi
    exec "$@"
}

main "$@"
