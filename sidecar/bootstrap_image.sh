# Whether the database's image, and the user that it runs as, can work. Part of bootstrap.sh, which
# reads this file.

# Without one of them the script would go on and be wrong: set -e does not hold in conditions.
need_programs() {
    for program in cat chmod df env find grep id ln mkdir mv readlink rm sed sleep stat tail \
        timeout touch tr \
        pg_basebackup pg_controldata pg_rewind psql "$1"; do
        if ! command -v "$program" > /dev/null; then
            refuse_newcomer "this image has no program $program: use one that has it on its PATH, or say by the annotation pgset.dev/profile or by command what starts PostgreSQL in this one"
        fi
    done
}

# As root `become_postgres` has looked before.
check_user() {
    user=$(id -u)
    if [ "$user" != "$PGSET_UID" ]; then
        refuse_newcomer "this container runs as uid $user, but the sidecar runs as $PGSET_UID: set the annotation pgset.dev/uid to \"$user\""
    fi
}

# Who starts PostgreSQL may change to its user, as only root can: that is done by now.
stand_in_for_gosu() {
    if [ "$(id -u)" = 0 ]; then return; fi
    mkdir -p "$handshake/bin" || return 0
    for program in gosu su-exec s6-setuidgid setuidgid; do
        printf '#!/bin/sh\nshift\nexec "$@"\n' > "$handshake/bin/$program" &&
            chmod 0755 "$handshake/bin/$program" || true
    done
    PATH=$handshake/bin:$PATH
}

look_at_image() {
    warn_of_service
    if [ -d /opt/bitnami/scripts/postgresql ]; then
        refuse "the start script of this image removes standby.signal at each start, so that every member would be writable: use an image with the entrypoint of the official one"
    fi
    case ${1##*/} in
        postgres)
            case ${PGDATA:-} in
                /*) ;;
                *) refuse_newcomer "PGDATA does not say where the data is: set it to a directory on a volume" ;;
            esac
            ;;
        # A script of the user's own may do more than start PostgreSQL.
        docker-entrypoint.sh | entrypoint.sh) untried=${PGSET_UNKNOWN_IMAGE:-} ;;
    esac
}

# Nothing in a conninfo takes it back. Admission warns of it where it stands in env; of what a ConfigMap
# or a Secret brings by envFrom, only the container knows.
warn_of_service() {
    if [ -n "${PGSERVICE+set}" ]; then
        echo "pgset: PGSERVICE is \"$PGSERVICE\" in the environment of the database container. It is meant for clients, but a standby's connection obeys it as well, and without that service follows nobody: take it out of what envFrom names" >&2
    fi
}

# COMMAND...: whether it starts PostgreSQL as the official entrypoint does. It is run with a data
# directory and a program postgres that are made up; if it finds the real one all the same, that ends
# at once, as it is given a directory that is not there. If it passes nothing on, even the real server
# may start on the real data: so never before the sidecar has seen that no other pod writes there.
# What cannot be seen so is taken to be right.
keeps_contract() {
    made_up=$handshake/contract
    made_up_data=$made_up/data
    rm -rf "$made_up" && mkdir -p "$made_up/bin" && mkdir -m 0700 "$made_up_data" &&
        mkdir "$made_up_data/base" "$made_up_data/global" "$made_up_data/pg_wal" || return 0
    postgres --version | sed 's/[^0-9]*\([0-9]*\).*/\1/' > "$made_up_data/PG_VERSION"
    for name in standby.signal global/pg_control $script_files; do echo "# made up" > "$made_up_data/$name"; done
    cat > "$made_up/bin/postgres" <<STAND_IN
#!/bin/sh
case "\$*" in *pgset-contract*) ;; *) exit 1 ;; esac
{ echo "\$\$"; echo "\${PGDATA:-}"; } > "$made_up/started"
STAND_IN
    printf '#!/bin/sh\n: > "%s"\nexit 1\n' "$made_up/initdb" > "$made_up/bin/initdb"
    chmod 0755 "$made_up/bin/postgres" "$made_up/bin/initdb"
    try_entrypoint "$@" -c cluster_name=pgset-contract -c data_directory="$made_up/none"
    if [ -e "$made_up/initdb" ] || { [ ! -e "$made_up/started" ] && [ ! -e "$made_up_data/PG_VERSION" ]; }; then
        : # It has taken this for no database.
    elif [ ! -e "$made_up_data/standby.signal" ]; then
        fatal=yes
        failure="what starts PostgreSQL in this image ($1) removes standby.signal or the data, so that every member would be writable: use an image with the entrypoint of the official one"
    elif [ ! -e "$made_up/started" ]; then
        :
    elif [ "$(sed -n 2p "$made_up/started")" != "$made_up_data" ]; then
        failure="what starts PostgreSQL in this image ($1) does not obey PGDATA: say by the annotation pgset.dev/profile of which family it is, or use an image with the entrypoint of the official one"
    elif [ "$(sed -n 1p "$made_up/started")" != "$entrypoint" ]; then
        failure="what starts PostgreSQL in this image ($1) does not become PostgreSQL but starts another process, which signals do not reach: start it with exec, or use an image with the entrypoint of the official one"
    fi
    rm -rf "$made_up"
    [ -z "$failure" ]
}

# Sets $entrypoint to its pid. It gets 30 s, may fill no volume, and leaves no process.
try_entrypoint() {
    session_of_its_own=$(command -v setsid || true)
    (
        ulimit -f 2048 # of 512 bytes
        PATH=$made_up/bin:$PATH PGDATA=$made_up_data
        export PATH PGDATA
        exec $session_of_its_own "$@" > "$made_up/log" 2>&1 < /dev/null
    ) &
    entrypoint=$!
    tries=0
    while kill -0 "$entrypoint" 2>/dev/null && [ "$tries" -lt 300 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    kill -KILL "-$entrypoint" 2>/dev/null || kill -KILL "$entrypoint" 2>/dev/null || true
    wait "$entrypoint" || true
}

has_to_be_tried() {
    [ -n "$untried" ] && [ -s "$data/PG_VERSION" ] && [ ! -e "$unusable" ] && [ ! -d "$rewinding" ]
}

# What a set has lived with until now is told in the log, unless it makes every member writable.
try_image() {
    untried=
    fatal=
    earlier=$failure
    failure=
    # Of a member, the real server must not start writable even if this image has it started here.
    if [ -e "$found" ]; then put_standby_signal "$data" && sync; fi
    if ! keeps_contract "$@"; then
        if [ -e "$found" ] && [ -z "$fatal" ]; then echo "pgset: $failure" >&2; else contract=$failure; fi
    fi
    failure=$earlier
}
