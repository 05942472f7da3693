#!/bin/sh
# pgset-bootstrap: the last init container, in the database's own image, so that initdb and
# pg_basebackup are of the server's own version. It decides nothing: it says what it finds in
# the data directory and carries out the sidecar's orders, until it is told to start.
#
#   usage: bootstrap.sh COMMAND...   what starts PostgreSQL, such as: docker-entrypoint.sh postgres
#
# /run/pgset/report   written here: the session, the number of the last order, what is found
# /run/pgset/order    written by the sidecar: "<session> <number> VERB" with one of the verbs
#                     settle|initdb|clone|rewind|reclone|start|start-writable, and on a second line
#                     the conninfo for clone, rewind and reclone
#
# The folder outlives a restart of this script, the session does not: no old order is obeyed.
#
# Data is only ever changed in a folder inside of $PGDATA, which cannot be renamed itself where it
# is a volume. How far that is shows in the folder's name, so that each step is one rename, and
# whatever interrupts it, the next life of this script knows how to go on. It does so when told to
# settle, since on shared storage its former life may still be at work.
#   .pgset-new        an initdb or a clone under way: deleted and redone
#   .pgset-rewinding  pg_rewind works here, on the only copy of that data: nobody may start it
#   .pgset-whole      a finished clone, to which the present data makes room: gone on with
#   .pgset-up         a whole data directory on its way up into $PGDATA: gone on with
# PG_VERSION is the first file to leave $PGDATA and the last to enter it, and no server starts
# without it.
#   .pgset-old        what the last re-clone took the place of. pg_basebackup and pg_rewind pass
#                     over names that begin with pgsql_tmp, so no other member copies that.
#   .pgset-reclone    written by the sidecar: only a new clone helps this data
#   .pgset-password   written by the sidecar before each start: what a standby replicates by
#   .pgset-promoting  written by the sidecar: this data may have begun a timeline of its own
#   .pgset-returns    written by the sidecar: how often PostgreSQL did not come up since it streamed
#   .pgset-found      whether this data was "writable" or a "standby" before we had it started
set -eu
# No locale is set here: initdb takes the new databases' encoding and collation from the image's.

handshake=${PGSET_HANDSHAKE:-/run/pgset}
data=${PGDATA:-/var/lib/postgresql/data}
data=${data%/}
staging=$data/.pgset-new
rewinding=$data/.pgset-rewinding
whole=$data/.pgset-whole
up=$data/.pgset-up
kept=$data/.pgset-old/pgsql_tmp.data
kept_next=$data/.pgset-old/pgsql_tmp.next
unusable=$data/.pgset-reclone
promoting=$data/.pgset-promoting
found=$data/.pgset-found
auto_conf=$data/postgresql.auto.conf
session=$(cat /proc/sys/kernel/random/uuid)
done=0
refusal=
failure=
rewind=
database=postgres
refused=
starting=

report() {
    {
        echo "session=$session"
        echo "done=$done"
        echo "refusal=$refusal"
        echo "failure=$failure"
        echo "pgdata=$data"
        echo "data=$(data_state)"
        echo "rewind=$(rewind_state)"
        echo "refused=$refused"
        for place in "$data" "$rewinding"; do
            if [ -s "$place/PG_VERSION" ]; then control_data "$place" 2>&1 || true; fi
        done
    } > "$handshake/report.new"
    mv "$handshake/report.new" "$handshake/report"
}

# Its words are translated, and here they are read.
control_data() {
    LC_ALL=C pg_controldata -D "$1"
}

data_state() {
    if [ -d "$whole" ] || [ -d "$up" ] || has_raised_settings; then
        echo unsettled
    elif [ -d "$rewinding" ]; then
        echo broken
    elif [ -s "$data/PG_VERSION" ]; then
        if [ -e "$unusable" ]; then echo broken; else echo present; fi
    elif [ -n "$(user_files "$data")" ]; then
        if [ -e "$unusable" ]; then echo broken; else echo not-ours; fi
    elif [ -d "$staging" ]; then
        echo interrupted
    else
        echo empty
    fi
}

# What the sidecar has raised for an earlier start, or the primary's for the primary's own. Nobody
# else writes a number so; see `with_raised` in sidecar/postgres/refused.py.
raised="^(max_[a-z_]+ = '0x[0-9a-f]{8}'|wal_level = 'Replica')\$"

has_raised_settings() {
    [ -z "$starting" ] && [ -f "$data/PG_VERSION" ] && grep -Eq "$raised" "$auto_conf" 2>/dev/null
}

lower_settings() {
    new=$data/.pgset-auto.conf
    sed -E "/$raised/d" "$auto_conf" > "$new" && chmod 0600 "$new" && mv "$new" "$auto_conf" && sync
}

# What a standby's start with this configuration would refuse on this data, as words
# NAME:VALUE:NEEDED:ORIGIN; see RefusedSetting in sidecar/observation.py. Nothing is written, and
# where a program fails nothing is said. The server's own program is asked, by an option with which
# it starts nothing, whatever follows; never the user's command, which may not look at its words.
look_at_settings() {
    refused=
    if [ "$(data_state)" != present ]; then return; fi
    case ${1##*/} in
        docker-entrypoint.sh) shift; case ${1:-} in -*) ;; postgres) shift ;; *) set -- ;; esac ;;
        postgres) shift ;;
        *) set -- ;;
    esac
    refused=$(refused_settings "$@" 2>/dev/null) || refused=
}

refused_settings() {
    said=
    known=$(control_data "$data") || return 1
    written=$(control_field wal_level)
    wanted=$(configured wal_level "$@") || return 1
    if [ "$written" = minimal ]; then said="wal_level:minimal:replica:data"; fi
    origin=
    if [ "$wanted" = minimal ]; then
        origin=$(origin_of wal_level replica "$@") || return 1
        said="$said wal_level:minimal:replica:$origin"
    fi
    for pair in max_connections max_worker_processes max_wal_senders \
        max_prepared_transactions:max_prepared_xacts max_locks_per_transaction:max_locks_per_xact; do
        name=${pair%%:*}
        needed=$(control_field "${pair#*:}")
        value=$(configured "$name" "$@") || return 1
        if [ "$value" -lt "$needed" ]; then
            from=$(origin_of "$name" "$needed" "$@") || return 1
            said="$said $name:$value:$needed:$from"
        elif [ "$name $value $origin" = "max_wal_senders 0 file" ] &&
            [ "$(origin_of "$name" 10 "$@")" = file ]; then
            # wal_level=minimal wants none; with more nobody could stream without some.
            said="$said $name:0:10:file"
        fi
    done
    echo "$said"
}

control_field() {
    printf '%s\n' "$known" | sed -n "s/^$1 setting: *//p"
}

# NAME ARGUMENTS...; a file of the configuration may be a pipe or on storage that hangs.
configured() {
    asked_for=$1
    shift
    timeout -s KILL 5 postgres -D "$data" -C "$asked_for" "$@" < /dev/null
}

# NAME OTHER ARGUMENTS...; of two on the command line the later one counts, and any beats a file.
origin_of() {
    setting=$1
    other=$2
    shift 2
    case $(configured "$setting" -c "$setting=$other" "$@") in
        "$other") echo file ;;
        "") return 1 ;;
        *) echo command-line ;;
    esac
}

# A second pg_rewind over a half-done one would miss what the first brought from a primary that is
# another one by now.
rewind_state() {
    if [ -d "$rewinding" ] || [ -e "$unusable" ]; then echo impossible; else echo "$rewind"; fi
}

# Everything but what a fresh file system and we ourselves put there.
user_files() {
    folder=$1
    shift
    find "$folder" -mindepth 1 -maxdepth 1 ! -name lost+found ! -name '.pgset-*' "$@"
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

# FROM TO. What cannot be moved stays, and PG_VERSION is not the caller's to move then.
move_all_but_version() {
    user_files "$1" ! -name PG_VERSION -exec sh -c 'mv "$@" "$0/"' "$2" {} + &&
        [ -z "$(user_files "$1" ! -name PG_VERSION)" ]
}

take_out() {
    { [ ! -e "$1/PG_VERSION" ] || mv "$1/PG_VERSION" "$2/"; } && move_all_but_version "$1" "$2"
}

# mv would put a folder into one that is there already.
rename() {
    [ ! -e "$2" ] && mv "$1" "$2"
}

bring_up() {
    move_all_but_version "$up" "$data" && sync || return 1
    if [ -e "$up/PG_VERSION" ]; then mv "$up/PG_VERSION" "$data/" || return 1; fi
    sync && rm -rf "$up"
}

# A folder that is whole starts read-only, whoever starts it, and knows nothing of the member that
# it was copied from.
seal() {
    touch "$1/standby.signal" && rm -rf "$1"/.pgset-* "$1/postmaster.pid" && sync
}

# The older copy goes only when everything of the present data stands beside it. Done twice, the
# second time finds nothing to set aside, and keeps what there is.
set_aside() {
    # PostgreSQL starts in no folder that others may read, and one day somebody will want it to.
    mkdir -p "$kept_next" && chmod 0700 "$kept_next" && take_out "$data" "$kept_next" || return 1
    if [ -d "$rewinding" ]; then
        take_out "$rewinding" "$kept_next" && rm -rf "$rewinding" || return 1
    fi
    sync || return 1
    if ! rmdir "$kept_next" 2>/dev/null; then
        rm -rf "$kept" && rename "$kept_next" "$kept" || return 1
    fi
    rm -f "$unusable" "$promoting" "$found" && sync
}

# Go on where an earlier life of this script was stopped.
settle() {
    if [ -d "$whole" ]; then
        set_aside && rename "$whole" "$up" || return 1
    fi
    if [ -d "$up" ]; then bring_up || return 1; fi
    if has_raised_settings; then lower_settings; fi
}

settle_or_refuse() {
    settle || refuse "the files in the data directory $data cannot be moved: see the log of this container, mend the volume and restart the pod"
}

clear_staging() {
    rm -rf "$staging" && mkdir -m 0700 "$staging"
}

move_up() {
    seal "$staging" && rm -f "$unusable" "$promoting" "$found" && rename "$staging" "$up" && bring_up
}

has_no_data() {
    case $(data_state) in
        empty | interrupted) ;;
        *) failure="there is data already"; return 1 ;;
    esac
}

# What is mounted inside of the data directory cannot be renamed with the rest.
has_no_mounts() {
    while read -r _ _ _ _ place _; do
        case $place in
            "$data"/*)
                failure="a volume is mounted at $place, inside of the data directory, which therefore cannot be made anew: mount it elsewhere, or mend this member by hand"
                return 1
                ;;
        esac
    done < /proc/self/mountinfo
}

# pg_basebackup would put them at the primary's own paths: outside of the volume or, where that is
# shared, at a place that another member uses. A primary that refuses the question is an older one
# of ours, which admits this role for replication alone; then it shows in the clone.
has_no_tablespaces() {
    names=$(ask_primary "$1" "SELECT pg_catalog.string_agg(spcname::text, ', '::text) FROM pg_catalog.pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')") || return 0
    if [ -n "$names" ]; then
        failure="the primary has tablespaces ($names), which cannot be copied to other members: move what is in them to pg_default and drop them"
        return 1
    fi
}

# As the replication role, with none of the container's own settings for libpq; and no function or
# operator of a user's is ever ours to call (it would run with the right to read every file).
as_member() {
    (
        unset PGHOSTADDR PGSERVICE PGPASSWORD PGSSLMODE PGREQUIRESSL PGSSLNEGOTIATION \
            PGGSSENCMODE PGCHANNELBINDING PGREQUIREAUTH PGTARGETSESSIONATTRS
        export PGPASSFILE="$handshake/pgpass"
        export PGOPTIONS="-c search_path=pg_catalog,pg_temp"
        exec "$@"
    )
}

# The primary's database to ask in: postgres, or where that was dropped any other in which this role
# may read files. (That right is one database's.) Template1 is only asked for their names: CREATE
# DATABASE is refused while somebody is in there. A name with a line break could bring words of its
# own into the conninfo; in the conninfo the real host comes last, and so it counts.
find_database() {
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
    database=postgres
}

ask_primary() {
    as_member psql --no-psqlrc --no-align --tuples-only --no-password --quiet \
        --dbname="dbname=$database $1" --command="SET statement_timeout = '5s'" --command="$2"
}

# The stock entrypoint makes the data and runs the user's scripts as ever, but the server it ends
# in listens on no TCP address; as soon as that one is up, it is stopped.
run_initdb() {
    has_no_data && clear_staging || return 1
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
    kill -INT "$server" && wait "$server" && move_up && echo writable > "$found"
}

# The entrypoint's temporary server is another process; the final one replaces the entrypoint.
final_server_is_ready() {
    [ "$(sed -n 1p "$staging/postmaster.pid" 2>/dev/null)" = "$server" ] &&
        sed -n 8p "$staging/postmaster.pid" | grep -q ready
}

copy_primary() {
    find_database "$1"
    has_no_tablespaces "$1" && clear_staging &&
        as_member pg_basebackup --pgdata="$staging" --dbname="$1" \
            --wal-method=stream --checkpoint=fast --no-password || return 1
    if [ -n "$(find "$staging/pg_tblspc" -mindepth 1)" ]; then
        failure="the primary has tablespaces, which cannot be copied to other members: move what is in them to pg_default and drop them"
        return 1
    fi
}

clone() {
    has_no_data && copy_primary "$1" && move_up
}

# The present data stays where it is until the copy is complete, and is then kept aside.
reclone() {
    case $(data_state) in
        present | broken) ;;
        *) failure="there is no data to clone anew"; return 1 ;;
    esac
    has_no_mounts && copy_primary "$1" && seal "$staging" && rename "$staging" "$whole" && settle
}

control() {
    control_data "$data" | sed -n "s/^$1: *//p"
}

# pg_rewind reads the primary's control file, where its timeline stands only after its first
# checkpoint as a primary; before that pg_rewind may find that there is nothing to do.
primary_is_ready() {
    tries=0
    while :; do
        same=$(ask_primary "$1" "SELECT (pg_catalog.pg_control_checkpoint()).timeline_id = ('x'::text || pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8))::bit(32)::int") || {
            failure="the primary does not answer: see the log of this container"
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

# pg_rewind wants data that was shut down, and would see to that by a server that writes: its
# checkpoint, where a standby crashed, makes a difference to the primary that pg_rewind then takes
# for none. A standby without a primary writes nothing; it replays what WAL is here and is stopped.
recover() {
    if [ "$(control "Database cluster state")" = "shut down" ]; then return; fi
    timeline=current
    if [ "$(control "Min recovery ending loc's timeline")" -gt "$(control "Latest checkpoint's TimeLineID")" ]; then
        timeline=$(control "Min recovery ending loc's timeline")
    fi
    : > "$handshake/replayed"
    touch "$data/standby.signal" && rm -f "$data/postmaster.pid" && sync || return 1
    # The checkpoint at its end must not remove the WAL in which pg_rewind looks for changed pages.
    "$@" -c listen_addresses= -c unix_socket_directories="$handshake" -c hot_standby=off \
        -c primary_conninfo= -c recovery_target_timeline="$timeline" -c recovery_min_apply_delay=0 \
        -c archive_cleanup_command= -c archive_mode=off -c wal_keep_size=1TB \
        -c restore_command="echo %f >> '$handshake/replayed'; false" \
        -c wal_retrieve_retry_interval=100ms &
    server=$!
    until has_replayed_all; do
        kill -0 "$server" 2>/dev/null || return 1
        sleep 0.1
    done
    kill -INT "$(sed -n 1p "$data/postmaster.pid")" || kill -INT "$server" || true
    wait "$server" || true
    [ "$(control "Database cluster state")" = "shut down in recovery" ]
}

# A standby asks for the next file of WAL until it comes; a file on its way it asks for at most
# twice, for its last checkpoint and when the replay gets there.
has_replayed_all() {
    last=$(tail -n 1 "$handshake/replayed") && [ -n "$last" ] &&
        [ "$(grep -cxF "$last" "$handshake/replayed")" -ge 5 ]
}

run_pg_rewind() {
    as_member pg_rewind --no-ensure-shutdown --target-pgdata="$1" \
        --source-server="dbname=$database $2" ${3:+"$3"}
}

# What can fail fails in the dry run, with the data where it was.
is_rewindable() {
    if recover "$@" && run_pg_rewind "$data" "$primary" --dry-run; then return; fi
    # Not where the primary has gone meanwhile: it may go then, another time.
    if primary_is_ready "$primary"; then rewind=impossible; fi
    return 1
}

# CONNINFO COMMAND...; pg_rewind removes what the primary doesn't have, so our own files, and the
# heartbeat that is written all the while, must not be where it works.
rewind() {
    primary=$1
    shift
    rewind=
    if [ "$(data_state)" != present ]; then
        failure="this data cannot be rewound, only cloned anew"
        return 1
    fi
    find_database "$primary"
    has_no_mounts && primary_is_ready "$primary" && has_no_tablespaces "$primary" &&
        is_rewindable "$@" || return 1
    rm -rf "$staging" "$found" && mkdir -m 0700 "$up" && take_out "$data" "$up" &&
        rename "$up" "$rewinding" && sync &&
        run_pg_rewind "$rewinding" "$primary" && seal "$rewinding" &&
        rename "$rewinding" "$up" && bring_up && rewind=done
}

# A postmaster.pid can only be left over: in this pod none runs before the init containers have
# ended, and the sidecar has seen that no other pod writes here.
start() {
    starting=yes
    case $(data_state) in
        present) ;;
        broken) failure="this data cannot be started before it is cloned anew"; return 1 ;;
        *) failure="there is no database to start"; return 1 ;;
    esac
    rm -f "$data/postmaster.pid" && rm -rf "$staging" && note_what_was_found || return 1
    if [ "$1" = start-writable ]; then
        rm -f "$data/standby.signal" && sync
    else
        touch "$data/standby.signal" && sync
    fi
}

# For whoever takes pgset away again before anybody has led: only what was writable may be so again.
note_what_was_found() {
    if [ -s "$found" ]; then return; fi
    if [ -e "$data/standby.signal" ]; then echo standby > "$found"; else echo writable > "$found"; fi
}

if [ "$(id -u)" = 0 ]; then become_postgres "$@"; fi
check_owner
if [ "$(data_state)" = not-ours ]; then
    refuse "the data directory $data holds files but no PostgreSQL database: empty it, or set PGDATA to a sub-directory"
fi
# What an earlier life has told would be believed as long as this one looks.
rm -f "$handshake/report"
look_at_settings "$@"
report

told() {
    failure=${failure:-"$1 did not succeed: see the log of this container"}
}

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
        settle) ;; # as after every order
        initdb) run_initdb "$@" || told "initdb" ;;
        clone) clone "$conninfo" || told "the clone" ;;
        reclone) reclone "$conninfo" || told "the re-clone" ;;
        rewind) rewind "$conninfo" "$@" || told "the rewind" ;;
        start | start-writable) start "$verb" || told "the start" ;;
        *) failure="unknown order $verb" ;;
    esac
    case $verb:$failure in
        # What is raised by now is for this start, and stays.
        start: | start-writable:) done=$number; report; exit 0 ;;
    esac
    starting=
    settle_or_refuse
    done=$number
    look_at_settings "$@"
    report
done
