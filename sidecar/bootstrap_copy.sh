# What a member takes from the primary: a clone, a re-clone, a rewind. Part of bootstrap.sh, which
# reads this file.

# A volume that is mounted inside the data directory cannot be renamed with the rest.
has_no_mounts() {
    while read -r _ _ _ _ place _; do
        # Blanks and the like stand there as octal numbers.
        place=$(printf '%b' "$place")
        case $place in
            "$data"/*)
                failure="a volume is mounted at $place, inside the data directory, which therefore cannot be re-created: mount it elsewhere, or fix this member by hand"
                return 1
                ;;
        esac
    done < /proc/self/mountinfo
}

# pg_basebackup would put them at the primary's own paths: outside the volume or, if that is shared,
# where another member has its own. A primary that refuses the question is one that an older pgset
# prepared, which admits this role for replication alone; the clone then shows whether it has any.
has_no_tablespaces() {
    names=$(ask_primary "$1" "SELECT pg_catalog.string_agg(spcname::text, ', '::text) FROM pg_catalog.pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')") || return 0
    if [ -n "$names" ]; then
        failure="the primary has tablespaces ($names), which cannot be copied to other members: move what is in them to pg_default and drop them"
        return 1
    fi
}

# Runs a program as the replication role, with none of the container's own settings for libpq, nor
# the files in its user's home. No function or operator of a user's may ever be called (it could
# then read every file), and no setting of the role or the database counts; see connection.py.
as_member() {
    (
        unset $(env | sed -n 's/^\(PG[A-Z0-9_]*\)=.*/\1/p') OPENSSL_CONF SSL_CERT_FILE SSL_CERT_DIR \
            KRB5_CONFIG KRB5CCNAME
        export HOME=/nonexistent
        export PGPASSFILE="$handshake/pgpass"
        # No password to whoever asks for it in clear. Before PostgreSQL 16 nobody knows the variable.
        export PGREQUIREAUTH='!password'
        # pg_rewind asks for a list of all files, which must not need a temporary one: a limit for these
        # is a superuser's to lift.
        own="-c search_path=pg_catalog,pg_temp -c role=none -c idle_session_timeout=0 -c lock_timeout=0 -c statement_timeout=0 -c local_preload_libraries= -c work_mem=64MB"
        if [ "${major:-0}" -ge 17 ]; then own="$own -c transaction_timeout=0 $no_triggers"; fi
        export PGOPTIONS="$own"
        exec "$@"
    )
}

# Sets $database to the primary's database in which to ask, and $no_triggers to the option without which
# a login starts triggers of a user's, which may refuse it. A primary that an older pgset has prepared
# does not let this role set that.
find_database() {
    no_triggers="-c event_triggers=off"
    if [ "${major:-0}" -ge 17 ] && look_for_database "$1"; then return; fi
    no_triggers=
    look_for_database "$1" || database=postgres
}

# Sets $database to postgres or, if that was dropped, any other in which this role may read files. (That
# right is granted in one database.) template1 is only asked for their names: CREATE DATABASE fails
# while anybody is connected to it. A name with a line break could add parameters to the conninfo;
# there the real host comes last, so it counts.
look_for_database() {
    names=
    for database in postgres template1; do
        if names=$(ask_primary "$1" "SELECT chr(39) || replace(replace(datname::text, chr(92), repeat(chr(92), 2)), chr(39), chr(92) || chr(39)) || chr(39) FROM pg_database WHERE datallowconn AND NOT datistemplate AND strpos(datname::text, chr(10)) = 0 AND strpos(datname::text, chr(13)) = 0 ORDER BY datname <> 'postgres', oid LIMIT 20"); then break; fi
    done
    while read -r database; do
        may=$(ask_primary "$1" "SELECT has_function_privilege('pg_read_binary_file(text)', 'execute')" < /dev/null) || true
        if [ "$may" = t ]; then return; fi
    done <<NAMES
$names
NAMES
    return 1
}

ask_primary() {
    as_member psql --no-psqlrc --no-align --tuples-only --no-password --quiet \
        --dbname="dbname=$database $1" --command="SET statement_timeout = '5s'" --command="$2"
}

# A copy that fills the volume takes down what else is on it, and ends no better the second time. The
# first is tried: a file system that compresses may have room for it. A role that may not ask for the
# sizes copies without.
has_room() {
    if [ ! -e "$no_room" ]; then return; fi
    needed=$(ask_primary "$1" "SELECT (sum(pg_database_size(oid)) / 1048576)::bigint FROM pg_database WHERE datallowconn") || return 0
    free=$(free_megabytes) || return 0
    case $needed in "" | *[!0-9]*) return 0 ;; esac
    if [ "$needed" -lt "$free" ]; then
        rm -f "$no_room"
        return
    fi
    kept_too=
    if [ -d "$kept" ]; then kept_too=", or delete ${kept%/*}, which the last re-clone has kept"; fi
    failure="there is no room for a copy of the primary, which has $needed MB: $data has $free MB left; enlarge the volume$kept_too"
    return 1
}

# WAL comes in files of 16 MB; who misses less than two of them had no room for one.
note_lack_of_room() {
    free=$(free_megabytes) || return 0
    if [ "$free" -lt 32 ]; then touch "$no_room" || true; fi
}

free_megabytes() {
    df -Pk "$data" | { read -r _ && read -r _ _ _ free _ && echo "$((free / 1024))"; }
}

# By its slot the primary keeps the WAL that is written while a copy is made, and the copy moves the
# slot on. Where it is not there yet, or was lost, the copy goes without.
slot_option() {
    there=$(ask_primary "$1" "SELECT slot_name FROM pg_replication_slots WHERE slot_name = '$slot' AND NOT active AND wal_status <> 'lost'") || return 0
    if [ -n "$slot" ] && [ "$there" = "$slot" ]; then echo "--slot=$slot"; fi
}

# Not under the member's name: the WAL that a copy fetches would count as received by a standby that
# commits may be waiting for, long before there is one.
copy_primary() {
    find_database "$1"
    has_no_tablespaces "$1" && clear_staging && has_room "$1" || return 1
    volume=$(wal_volume)
    as_member pg_basebackup --pgdata="$staging" --dbname="$1 application_name=pgset-clone" \
        ${volume:+--waldir="$volume/$wal_folder-$session-$number"} $(slot_option "$1") \
        --wal-method=stream --checkpoint=fast --no-password --no-clean || {
        note_lack_of_room
        clear_staging
        return 1
    }
    if [ -n "$(find "$staging/pg_tblspc" -mindepth 1)" ]; then
        failure="the primary has tablespaces, which cannot be copied to other members: move what is in them to pg_default and drop them"
        return 1
    fi
    has_its_configuration "$1"
}

# pg_basebackup passes links over.
has_its_configuration() {
    for pair in postgresql.conf:config pg_hba.conf:hba; do
        name=${pair%:*}
        if [ -e "$staging/$name" ]; then continue; fi
        case $command_line in *${pair#*:}[_-]file*) continue ;; esac
        there=$(ask_primary "$1" "SELECT (pg_catalog.pg_stat_file('$name', true)).size IS NOT NULL") || there=
        if [ "$there" = t ]; then
            failure="$name is a symbolic link on the primary, which no copy gets, and PostgreSQL does not start without: put the file itself there, or name where it is by config_file or hba_file in PostgreSQL's arguments"
            return 1
        fi
    done
}

clone() {
    has_no_data && copy_primary "$1" && move_up
}

# The present data stays in place until the copy is complete, and is then set aside.
reclone() {
    case $(data_state) in
        present | broken) ;;
        *) failure="there is no data to clone over"; return 1 ;;
    esac
    has_no_mounts && copy_primary "$1" && seal "$staging" && rename "$staging" "$whole" && settle
}

# pg_rewind reads the primary's control file, which has the new timeline only after the first
# checkpoint as a primary; before that pg_rewind may conclude that there is nothing to do.
primary_is_ready() {
    tries=0
    while :; do
        same=$(ask_primary "$1" "SELECT (pg_catalog.pg_control_checkpoint()).timeline_id = ('x'::text || pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8))::bit(32)::int" 2> "$handshake/said") || {
            cat "$handshake/said" >&2
            failure="the primary gives no answer that pg_rewind could do with: $(sed -n 1,3p "$handshake/said")"
            return 1
        }
        if [ "$same" = t ]; then return; fi
        tries=$((tries + 1))
        if [ "$tries" -gt 60 ]; then
            failure="the primary has not made a checkpoint since its promotion"
            return 1
        fi
        sleep 0.5
    done
}

# pg_rewind needs data that was shut down, and would start a server that writes to get there. If a
# standby has crashed, that server's checkpoint makes the data differ from the primary's, and
# pg_rewind does not see it. A standby without a primary writes nothing: it replays the WAL that is
# here and is stopped.
recover() {
    if [ "$(cluster_state)" = "shut down" ]; then return; fi
    # From PostgreSQL 17 on, a standby with a logical slot does not start without.
    hot=off
    if [ -n "$(find "$data/pg_replslot" -mindepth 1 -maxdepth 1 ! -name 'pgset_*' 2>/dev/null)" ]; then hot=on; fi
    # Later versions do not know it; it would promote this server, which then writes.
    if [ "${major:-16}" -lt 16 ]; then set -- "$@" -c promote_trigger_file=; fi
    : > "$handshake/replayed"
    put_standby_signal "$data" && rm -f "$data/postmaster.pid" && sync || return 1
    # The checkpoint at its end must not remove the WAL in which pg_rewind looks for changed pages.
    as_given "$@" -c listen_addresses= -c unix_socket_directories="$handshake" -c hot_standby="$hot" \
        -c primary_conninfo= -c recovery_target_timeline=current -c recovery_min_apply_delay=0 \
        -c recovery_target= -c recovery_target_lsn= -c recovery_target_name= \
        -c recovery_target_time= -c recovery_target_xid= \
        -c archive_cleanup_command= -c archive_mode=off -c wal_keep_size=1TB \
        -c restore_command="echo %f >> '$handshake/replayed'; false" \
        -c wal_retrieve_retry_interval=100ms &
    server=$!
    until has_replayed_all; do
        kill -0 "$server" 2>/dev/null || return 1
        sockets=$(sed -n 5p "$data/postmaster.pid" 2>/dev/null) || sockets=
        if [ -n "$sockets" ] && [ "$sockets" != "$handshake" ]; then
            end_server_without_arguments "$data"
            return 1
        fi
        sleep 0.1
    done
    kill -INT "$(sed -n 1p "$data/postmaster.pid")" || kill -INT "$server" || true
    wait "$server" || true
    [ "$(cluster_state)" = "shut down in recovery" ]
}

cluster_state() {
    known=$(control_data "$data") && control "Database cluster state"
}

# A standby asks for the next WAL file until it comes; for a file on the way there it asks at most
# twice: for its last checkpoint, and when the replay gets there.
has_replayed_all() {
    last=$(tail -n 1 "$handshake/replayed") && [ -n "$last" ] &&
        [ "$(grep -cxF "$last" "$handshake/replayed")" -ge 5 ]
}

run_pg_rewind() {
    as_member pg_rewind --no-ensure-shutdown --target-pgdata="$1" \
        --source-server="dbname=$database $2" ${3:+"$3"}
}

# What can fail fails in the dry run, while the data is still in place.
is_rewindable() {
    if recover "$@" && run_pg_rewind "$data" "$primary" --dry-run; then return; fi
    # If the primary has gone away meanwhile, the rewind may still work another time.
    if primary_is_ready "$primary"; then rewind=impossible; fi
    return 1
}

# DATA; whether it has all WAL up to where it can be read. pg_rewind copies what the primary has, and does
# not look whether that is enough: one that was cloned itself has no older WAL. PostgreSQL would take its
# own WAL instead, which is of another history; and where nobody leads, all would wait to hear what it has.
# The newest files may be missing: the primary began them after pg_rewind had listed what there is.
has_its_wal() {
    if [ ! -f "$1/backup_label" ]; then return; fi
    file=$(sed -nE 's/^START WAL LOCATION: .*\(file [0-9A-F]{8}([0-9A-F]{16})\).*/\1/p' "$1/backup_label")
    known=$(control_data "$1")
    size=$(control "Bytes per WAL segment")
    readable=$(bytes "$(control "Minimum recovery ending location")")
    latest=$(control "Min recovery ending loc's timeline")
    begins=$((0x${file%????????} * 4294967296 + 0x${file#????????} * size))
    ancestors= first= missing=
    while read -r ancestor left_at _; do
        case $ancestor in '' | *[!0-9]*) continue ;; esac
        ancestors="$ancestors $ancestor:$(bytes "$left_at")"
    done < "$1/pg_wal/$(printf %08X "$latest").history"
    while [ "$begins" -lt "$readable" ]; do
        ends=$((begins + size))
        # A file belongs to the timeline on which its last byte was written.
        timeline=$latest
        for ancestor in $ancestors; do
            if [ "${ancestor#*:}" -ge "$ends" ]; then timeline=${ancestor%:*} && break; fi
        done
        file=$(printf %08X%08X%08X "$timeline" $((begins / 4294967296)) $((begins % 4294967296 / size)))
        first=${first:-$file}
        if [ ! -s "$1/pg_wal/$file" ]; then
            missing=${missing:-$file}
        elif [ -n "$missing" ]; then
            break
        fi
        begins=$ends
    done
    if [ -z "$missing" ] || { [ "$begins" -ge "$readable" ] && [ "$missing" != "$first" ]; }; then return; fi
    failure="the primary does not have the WAL that this data, once rewound, begins with: $missing"
    return 1
}

# CONNINFO COMMAND...; pg_rewind deletes what the primary doesn't have, so it must not work where
# our own files are, and where the heartbeat is written all the time.
rewind() {
    primary=$1
    shift
    rewind=
    if [ "$(data_state)" != present ]; then
        failure="this data cannot be rewound: it can only be cloned again"
        return 1
    fi
    find_database "$primary"
    has_no_mounts && primary_is_ready "$primary" && has_no_tablespaces "$primary" &&
        is_rewindable "$@" && delete_histories_unlike "$primary" || return 1
    drop "$staging" && rm -rf "$found" && mkdir -m 0700 "$up" && take_out "$data" "$up" &&
        rename "$up" "$rewinding" && sync &&
        run_pg_rewind "$rewinding" "$primary" && has_its_wal "$rewinding" && seal "$rewinding" &&
        rename "$rewinding" "$up" && bring_up && rewind=done
}
