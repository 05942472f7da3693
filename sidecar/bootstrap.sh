#!/bin/sh
# pgset-bootstrap: the last init container, in the database's own image, so that initdb and
# pg_basebackup are of the server's own version. It decides nothing: it says what it finds in
# the data directory and carries out the sidecar's orders, until it is told to start.
#
#   usage: bootstrap.sh COMMAND...   what starts PostgreSQL, such as: docker-entrypoint.sh postgres
#
# /run/pgset/report   written here: the session, the number of the last order, what is found
# /run/pgset/order    written by the sidecar: "<session> <number> initdb|clone|start", and on a
#                     second line the conninfo for clone
#
# The folder outlives a restart of this script, the session does not: no old order is obeyed.
#
# New data is made in $PGDATA/.pgset-new and moved up with PG_VERSION last: while that folder is
# there and PG_VERSION is not, nothing has ever been served from here and it can be redone.
set -eu
export LC_ALL=C

handshake=${PGSET_HANDSHAKE:-/run/pgset}
data=${PGDATA:-/var/lib/postgresql/data}
staging=$data/.pgset-new
session=$(cat /proc/sys/kernel/random/uuid)
done=0
refusal=
failure=

report() {
    {
        echo "session=$session"
        echo "done=$done"
        echo "refusal=$refusal"
        echo "failure=$failure"
        echo "pgdata=$data"
        echo "data=$(data_state)"
        if [ -s "$data/PG_VERSION" ]; then
            pg_controldata -D "$data" 2>&1 || true
        fi
    } > "$handshake/report.new"
    mv "$handshake/report.new" "$handshake/report"
}

data_state() {
    if [ -s "$data/PG_VERSION" ]; then
        echo present
    elif [ -d "$staging" ]; then
        echo interrupted
    elif [ -n "$(user_files)" ]; then
        echo not-ours
    else
        echo empty
    fi
}

# Everything but what a fresh file system and we ourselves put there.
user_files() {
    find "$data" -mindepth 1 -maxdepth 1 ! -name lost+found ! -name '.pgset-*' "$@"
}

# A message that the operator has to act on; nothing is touched and nothing starts meanwhile.
refuse() {
    refusal=$1
    report
    echo "pgset: $refusal" >&2
    while :; do sleep 5; done
}

# As the official image does it: make the directory, own it, and drop root.
become_postgres() {
    image_uid=$(id -u postgres 2>/dev/null || echo none)
    if [ "$image_uid" != "$PGSET_UID" ]; then
        refuse "user postgres of this image has uid $image_uid, but the sidecar runs as $PGSET_UID: set the annotation pgset.dev/uid to \"$image_uid\""
    fi
    mkdir -p "$data"
    find "$data" \! -user postgres -exec chown postgres {} +
    for tool in gosu su-exec; do
        if command -v "$tool" > /dev/null; then exec "$tool" postgres /bin/sh "$0" "$@"; fi
    done
    exec setpriv --reuid=postgres --regid=postgres --init-groups /bin/sh "$0" "$@"
}

check_owner() {
    mkdir -p "$data" 2>/dev/null || refuse "uid $(id -u) may not create the data directory $data: set fsGroup or mend the volume's permissions"
    owner=$(stat -c %u "$data")
    if [ "$owner" != "$(id -u)" ]; then
        # An empty volume may belong to root and be writable through fsGroup; PostgreSQL wants
        # to own its data directory, so that has to be a folder of its own.
        refuse "the data directory $data belongs to uid $owner, but PostgreSQL runs as uid $(id -u): set PGDATA to a sub-directory of the volume, or mend its owner"
    fi
    chmod 0700 "$data"
}

# (set -e does not hold inside a function whose failure is handled: hence the chains of &&.)
clear_staging() {
    if [ -d "$staging" ]; then
        user_files -exec rm -rf {} + && rm -rf "$staging" || return 1
    fi
    mkdir -m 0700 "$staging"
}

move_up() {
    touch "$staging/standby.signal" &&
        rm -f "$staging"/.pgset-* "$staging/postmaster.pid" &&
        sync &&
        find "$staging" -mindepth 1 -maxdepth 1 ! -name PG_VERSION \
            -exec sh -c 'mv "$@" "$0/"' "$data" {} + &&
        mv "$staging/PG_VERSION" "$data/" &&
        sync &&
        rmdir "$staging"
}

# The stock entrypoint makes the data and runs the user's scripts as ever, but the server it ends
# in listens on no TCP address; as soon as that one is up, it is stopped.
run_initdb() {
    clear_staging || return 1
    arguments=${POSTGRES_INITDB_ARGS:-}
    case " $arguments " in
        *-data-checksums*) ;;
        *) arguments="$arguments --data-checksums" ;;
    esac
    PGDATA=$staging POSTGRES_INITDB_ARGS=$arguments "$@" -c listen_addresses= &
    server=$!
    until final_server_is_ready; do
        kill -0 "$server" 2>/dev/null || return 1
        sleep 0.1
    done
    kill -INT "$server" && wait "$server" && move_up
}

# The entrypoint's temporary server is another process; the final one replaces the entrypoint.
final_server_is_ready() {
    [ "$(sed -n 1p "$staging/postmaster.pid" 2>/dev/null)" = "$server" ] &&
        sed -n 8p "$staging/postmaster.pid" | grep -q ready
}

clone() {
    clear_staging &&
        PGPASSFILE=$handshake/pgpass pg_basebackup --pgdata="$staging" --dbname="$1" \
            --wal-method=stream --checkpoint=fast --no-password &&
        move_up
}

# A postmaster.pid can only be left over: in this pod none runs before the init containers have
# ended, and the sidecar has seen that no other pod writes here.
start() {
    [ -s "$data/PG_VERSION" ] || return 1
    rm -f "$data/postmaster.pid" || return 1
    if [ -d "$staging" ]; then rmdir "$staging" || return 1; fi
    touch "$data/standby.signal" && sync
}

if [ "$(id -u)" = 0 ]; then become_postgres "$@"; fi
check_owner
if [ "$(data_state)" = not-ours ]; then
    refuse "the data directory $data holds files but no PostgreSQL database: empty it, or set PGDATA to a sub-directory"
fi
report

while :; do
    conninfo=
    if [ -f "$handshake/order" ]; then
        { read -r for_session number verb; read -r conninfo || true; } < "$handshake/order"
    fi
    if [ "${for_session:-}" != "$session" ] || [ "$number" -le "$done" ]; then
        sleep 0.1
        continue
    fi
    failure=
    case $verb in
        initdb) run_initdb "$@" || failure="initdb did not succeed: see the log of this container" ;;
        clone) clone "$conninfo" || failure="the clone did not succeed: see the log of this container" ;;
        start) start || failure="there is no database to start" ;;
        *) failure="unknown order $verb" ;;
    esac
    done=$number
    report
    if [ "$verb" = start ] && [ -z "$failure" ]; then exit 0; fi
done
