# Whether the database's image, and the user that it runs as, can work. Part of bootstrap.sh, which
# reads this file.

# Without one of them the script would go on and be wrong: set -e does not hold in conditions.
need_programs() {
    for program in cat chmod env find grep id mkdir mv rm sed sleep stat tail touch tr \
        pg_basebackup pg_controldata pg_rewind psql "$1"; do
        if ! command -v "$program" > /dev/null; then
            refuse "this image has no program $program: use one that has it on its PATH, or say by the annotation pgset.dev/profile or by command what starts PostgreSQL in this one"
        fi
    done
}

# As root `become_postgres` has looked before.
check_user() {
    user=$(id -u)
    if [ "$user" != "$PGSET_UID" ]; then
        refuse "this container runs as uid $user, but the sidecar runs as $PGSET_UID: set the annotation pgset.dev/uid to \"$user\""
    fi
}

look_at_image() {
    if [ -d /opt/bitnami/scripts/postgresql ]; then
        refuse "the start script of this image removes standby.signal at each start, so that every member would be writable: use an image with the entrypoint of the official one"
    fi
    case ${1##*/} in
        postgres)
            case "${PGDATA:-} $*" in
                /* | *" -D"* | *data_directory* | *config_file*) ;;
                *) refuse "PGDATA does not say where the data is: set it to a directory on a volume" ;;
            esac
            ;;
        # A script of the user's own may do more than start PostgreSQL.
        docker-entrypoint.sh | entrypoint.sh)
            if [ -n "${PGSET_UNKNOWN_IMAGE:-}" ] && ! keeps_contract "$@"; then refuse "$failure"; fi
            ;;
    esac
}

# COMMAND...: whether it starts PostgreSQL as the official entrypoint does. It is run with a data
# directory and a program postgres that are made up. What cannot be seen so is taken to be right.
keeps_contract() {
    made_up=$handshake/contract
    rm -rf "$made_up" && mkdir -p "$made_up/bin" && mkdir -m 0700 "$made_up/data" || return 0
    postgres --version | sed 's/[^0-9]*\([0-9]*\).*/\1/' > "$made_up/data/PG_VERSION"
    for name in standby.signal $script_files; do : > "$made_up/data/$name"; done
    cat > "$made_up/bin/postgres" <<STAND_IN
#!/bin/sh
case "\$*" in *pgset-contract*) ;; *) exit 1 ;; esac
{ echo "\$\$"; echo "\${PGDATA:-}"; } > "$made_up/started"
STAND_IN
    chmod 0755 "$made_up/bin/postgres"
    PATH=$made_up/bin:$PATH PGDATA=$made_up/data timeout -s KILL 30 \
        /bin/sh -c 'echo "$$" > "$0/entrypoint" && exec "$@"' "$made_up" \
        "$@" -c cluster_name=pgset-contract > "$made_up/log" 2>&1 || true
    if [ ! -e "$made_up/data/standby.signal" ] || [ ! -e "$made_up/data/PG_VERSION" ]; then
        failure="what starts PostgreSQL in this image ($1) removes standby.signal or the data, so that every member would be writable: use an image with the entrypoint of the official one"
    elif [ ! -e "$made_up/started" ]; then
        :
    elif [ "$(sed -n 2p "$made_up/started")" != "$made_up/data" ]; then
        failure="what starts PostgreSQL in this image ($1) does not obey PGDATA: say by the annotation pgset.dev/profile of which family it is, or use an image with the entrypoint of the official one"
    elif [ "$(sed -n 1p "$made_up/started")" != "$(cat "$made_up/entrypoint")" ]; then
        failure="what starts PostgreSQL in this image ($1) does not become PostgreSQL but starts another process, which signals do not reach: start it with exec, or use an image with the entrypoint of the official one"
    fi
    rm -rf "$made_up"
    [ -z "$failure" ]
}
