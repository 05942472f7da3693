#!/bin/sh
# pgset-bootstrap: the last init container, in the database's own image, so that initdb and
# pg_basebackup are of the server's own version. It decides nothing: it says what it finds in
# the data directory and carries out the sidecar's orders, until it is told to start.
#
#   usage: bootstrap.sh COMMAND...   what starts PostgreSQL, such as: docker-entrypoint.sh postgres
#
# /run/pgset/report   written here: the session, the number of the last order, what is found
# /run/pgset/bootstrap_copy.sh   read below: what is copied from the primary
# /run/pgset/bootstrap_wal.sh   read below: WAL on a volume of its own
# /run/pgset/bootstrap_image.sh   read below: whether the image is one that can work
# /run/pgset/bootstrap_initdb.sh   read below: a new database
# /run/pgset/bootstrap_settings.sh   read below: the server's version, the settings it would start with
# /run/pgset/pg_hba.conf   written here: a copy of the one that the report's "hba" names
# /run/pgset/order    written by the sidecar: "<session> <number> VERB" with one of the verbs
#                     settle|initdb|clone|rewind|reclone|start|start-writable|leave, and on a second
#                     line the conninfo for clone, rewind and reclone, on a third this member's slot
#
# Whatever is read in the data directory may be a pipe by now, which nobody must wait for: whoever may
# write there as PostgreSQL's user, such as a superuser of the database, can put one in a file's place.
#
# The folder outlives a restart of this script, the session does not: no old order is obeyed.
#
# Data is only ever changed in a folder inside $PGDATA, which cannot be renamed itself if it is a
# volume. The folder's name says how far a change has come, so that each step is one rename, and
# after any interruption the next run of this script knows how to go on. It does so when ordered to
# settle, since on shared storage the previous run may still be at work.
#   .pgset-new        an initdb or a clone under way: deleted and redone
#   .pgset-rewinding  pg_rewind works here, on the only copy of that data: must not be started
#   .pgset-whole      a finished clone, for which the present data makes room: continued
#   .pgset-up         a whole data directory on its way up into $PGDATA: continued
# PG_VERSION is the first file to leave $PGDATA and the last to enter it, and no server starts
# without it.
#   .pgset-old        what the last re-clone replaced. pg_basebackup and pg_rewind skip names that
#                     begin with pgsql_tmp, so no other member copies it.
#   .pgset-reclone    written by the sidecar: this data can only be cloned again
#   .pgset-password   written by the sidecar before each start: a standby's replication password
#   .pgset-promoting  written by the sidecar: this data may have begun a timeline of its own
#   .pgset-returns    written by the sidecar: how often PostgreSQL did not come up since it streamed
#   .pgset-initdb     an initdb was begun where there was nothing: what is there is of init scripts
#   .pgset-no-room    a copy has filled the volume
#   .pgset-found      whether this data was "writable" or a "standby" before pgset first started it
# One file of the sidecar's has PostgreSQL's own name: recovery.signal with the line "pgset", put
# before a promotion (see sidecar/signal_files.py). With any other, somebody asks for a recovery.
set -eu
pgset_environment=$(export -p)

# COMMAND...: becomes it, with the container's own variables. Some may be named as ours are here: a
# Secret by envFrom may well bring a user, a password and a database.
as_given() {
    pgset_path=$PATH
    eval "$pgset_environment"
    PATH=$pgset_path
    exec "$@"
}

# Of this volume alone: one of another pod's on the same node may hang.
sync() {
    command sync -f "$data" 2>/dev/null || command sync
}

# No locale is set here: initdb takes the new databases' encoding and collation from the image's.

handshake=${PGSET_HANDSHAKE:-/run/pgset}
data=${PGDATA:-/var/lib/postgresql/data}
data=${data%/}
# Programs such as find look at a link, and not at what is behind it. Not as root, who would make
# PostgreSQL's user the owner of whatever that has let it lead to.
if [ -L "$data" ] && [ "$(id -u)" != 0 ]; then data=$(readlink -f "$data"); fi
staging=$data/.pgset-new
rewinding=$data/.pgset-rewinding
whole=$data/.pgset-whole
up=$data/.pgset-up
kept=$data/.pgset-old/pgsql_tmp.data
kept_next=$data/.pgset-old/pgsql_tmp.next
unusable=$data/.pgset-reclone
promoting=$data/.pgset-promoting
found=$data/.pgset-found
no_room=$data/.pgset-no-room
initdb=$data/.pgset-initdb
script_files="postgresql.conf postgresql.auto.conf pg_hba.conf pg_ident.conf"
from_scripts=$data/.pgset-old/pgsql_tmp.initdb
auto_conf=$data/postgresql.auto.conf
session=$(cat /proc/sys/kernel/random/uuid)
command_line=$*
# What the report says, each set by the function in brackets:
done=0       # the number of the last order that was carried out
failure=     # why that one failed (whichever it was in)
refusal=     # why nothing is changed before somebody has fixed it (refuse)
objection=   # why this data could never have a replica (look_for_objections)
rewind=      # how the last rewind ended: done, impossible, or nothing (rewind)
copied=      # yes: this data was copied from the primary
refused=     # the settings that a standby's start would refuse (look_at_settings)
hba=         # where pg_hba.conf is, if the sidecar needs one of its own (look_at_hba)
logical=     # yes: failover slots can be copied from the primary (look_at_logical_slots)
follows=     # what this data followed before pgset came (look_at_upstream)
# What else is set in one of the files and read in another:
major=       # of the image's PostgreSQL; empty if it does not say (check_version)
untried=     # yes: this image's entrypoint has yet to be tried (look_at_image)
contract=    # how that one breaks what is expected of it (try_image)
starting=    # yes: settings that are raised now stay raised (start)
database=postgres   # the primary's, in which it is asked (find_database)
no_triggers=        # the option that keeps its event triggers from running there (find_database)

report() {
    {
        echo "session=$session"
        echo "done=$done"
        line refusal "$refusal"
        line objection "$(objection)"
        line failure "$failure"
        line pgdata "$data"
        echo "data=$(data_state)"
        echo "rewind=$(rewind_state)"
        echo "copied=$copied"
        echo "refused=$refused"
        echo "hba=$hba"
        echo "logical=$logical"
        line follows "$follows"
        for place in "$data" "$rewinding"; do
            if [ -s "$place/PG_VERSION" ]; then control_data "$place" 2>&1 || true; fi
        done
    } > "$handshake/report.new"
    mv "$handshake/report.new" "$handshake/report"
}

# NAME VALUE, in one line whatever it holds, such as a tablespace's name; not by echo, which may take
# a backslash for the beginning of something else.
line() {
    printf '%s=' "$1"
    printf '%s' "$2" | tr '\n' ' '
    echo
}

# Untranslated, because it is parsed.
control_data() {
    [ ! -p "$1/global/pg_control" ] && LC_ALL=C pg_controldata -D "$1"
}

# NAME; prints what $known, which is of `control_data`, has under it.
control() {
    printf '%s\n' "$known" | sed -n "s/^$1: *//p"
}

data_state() {
    if [ -d "$whole" ] || [ -d "$up" ] || has_raised_settings || has_to_be_tried; then
        echo unsettled
    elif [ -d "$rewinding" ]; then
        echo broken
    elif [ -s "$data/PG_VERSION" ]; then
        if [ -e "$unusable" ]; then echo broken; else echo present; fi
    elif [ -n "$(user_files "$data")" ]; then
        if [ -e "$unusable" ]; then
            echo broken
        elif [ -e "$initdb" ]; then
            echo interrupted
        else
            echo not-ours
        fi
    elif [ -d "$staging" ]; then
        echo interrupted
    else
        echo empty
    fi
}

# A second pg_rewind on top of a half-done one would miss what the first one brought, from what may
# have been another primary.
rewind_state() {
    if [ -d "$rewinding" ] || [ -e "$unusable" ]; then echo impossible; else echo "$rewind"; fi
}

# Everything except what a new file system has and what is pgset's own.
user_files() {
    folder=$1
    shift
    find "$folder" -mindepth 1 -maxdepth 1 ! -name lost+found ! -name '.pgset-*' "$@"
}

# By the sidecar that had this server promoted: without standby.signal it is not to start.
is_held() {
    [ -f "$1/recovery.signal" ] && grep -qx pgset "$1/recovery.signal" 2>/dev/null
}

drop_hold() {
    if is_held "$1"; then rm -f "$1/recovery.signal"; fi
}

# Why this data can't become a set's, if pgset has not had it started yet: it may then be left alone.
# What is to be restored may have our files from before: a backup has them as well.
objection() {
    if [ "$(data_state)" != present ]; then return; fi
    if [ -e "$data/recovery.signal" ] && ! is_held "$data" && [ ! -e "$data/standby.signal" ]; then
        echo "recovery.signal asks for a recovery from an archive, up to where its settings say, which no standby would do: let it end, until PostgreSQL is writable"
        return
    fi
    if [ -e "$found" ] || [ -e "$promoting" ]; then return; fi
    echo "${refusal:-${contract:-$objection}}"
}

# A message on which the operator has to act; until then nothing is changed or started, unless the
# sidecar has this data left alone.
refuse() {
    refusal=$1
    report
    echo "pgset: $refusal" >&2
    while :; do
        read_order
        if [ "$verb" = leave ]; then leave; fi
        sleep 1
    done
}

# Likewise, but a set that has lived with it goes on: its pods come back.
refuse_newcomer() {
    if [ -e "$found" ]; then echo "pgset: $1" >&2; else refuse "$1"; fi
}

# Sets $verb, and with it $number, $conninfo and $slot; empty if there is no new order.
read_order() {
    for_session=
    number=0
    verb=
    conninfo=
    slot=
    if [ -f "$handshake/order" ]; then
        {
            read -r for_session number verb
            read -r conninfo || true
            read -r slot || true
        } < "$handshake/order"
    fi
    if [ "$for_session" != "$session" ] || [ "$number" -le "$done" ]; then verb=; fi
}

# PostgreSQL starts as it would without pgset: what has failed here keeps it from nothing. A
# postmaster.pid is as old as in `start`.
leave() {
    failure=
    rm -f "$data/postmaster.pid" || true
    done=$number
    report
    exit 0
}

# As the official image does: create the directory, own it, and stop being root.
become_postgres() {
    image_uid=$(id -u postgres 2>/dev/null || echo none)
    if [ "$image_uid" != "$PGSET_UID" ]; then
        refuse "user postgres of this image has uid $image_uid, but the sidecar runs as $PGSET_UID: set the annotation pgset.dev/uid to \"$image_uid\""
    fi
    mkdir -p "$data"
    find "$data" \! -user postgres -exec chown postgres {} +
    own_wal_volume
    # For the server that the entrypoint starts for initdb; the folder may be a volume of root's.
    find /var/run/postgresql \! -user postgres -exec chown postgres {} + 2>/dev/null || true
    for tool in gosu su-exec; do
        if command -v "$tool" > /dev/null; then as_given "$tool" postgres /bin/sh "$0" "$@"; fi
    done
    as_given setpriv --reuid=postgres --regid=postgres --init-groups /bin/sh "$0" "$@"
}

check_owner() {
    mkdir -p "$data" 2>/dev/null || refuse "uid $(id -u) cannot create the data directory $data: set fsGroup or fix the volume's permissions"
    owner=$(stat -c %u "$data")
    if [ "$owner" != "$(id -u)" ]; then
        # An empty volume may belong to root and be writable through fsGroup; PostgreSQL wants
        # to own its data directory, so that has to be a folder of its own.
        refuse "the data directory $data belongs to uid $owner, but PostgreSQL runs as uid $(id -u): set PGDATA to a sub-directory of the volume, or fix its owner"
    fi
    # As initdb --allow-group-access has made it, a group's backup tool may read it.
    case $(stat -c %a "$data") in
        *7[05]0) ;;
        *) chmod 0700 "$data" ;;
    esac
}

# (set -e does not hold inside a function whose failure is handled: hence the chains of &&.)

# FROM TO. It fails if something could not be moved; the caller must not move PG_VERSION then.
move_all_but_version() {
    user_files "$1" ! -name PG_VERSION -exec sh -c 'mv "$@" "$0/"' "$2" {} + &&
        [ -z "$(user_files "$1" ! -name PG_VERSION)" ]
}

take_out() {
    wal=$(leads_to "$1")
    case $(readlink "$1/pg_wal") in /*) wal= ;; esac
    { [ ! -e "$1/PG_VERSION" ] || mv "$1/PG_VERSION" "$2/"; } && move_all_but_version "$1" "$2" || return 1
    # From there a relative link leads elsewhere.
    if [ -n "$wal" ]; then ln -sfn "$wal" "$2/pg_wal"; fi
}

# mv would move a folder into one that exists already.
rename() {
    [ ! -e "$2" ] && mv "$1" "$2"
}

bring_up() {
    move_all_but_version "$up" "$data" && rm -f "$initdb" && sync || return 1
    if [ -e "$up/PG_VERSION" ]; then mv "$up/PG_VERSION" "$data/" || return 1; fi
    sync && rm -rf "$up"
}

# A whole folder starts read-only, whoever starts it, and has no notes of the member that it was
# copied from.
seal() {
    put_standby_signal "$1" && drop_hold "$1" && rm -rf "$1"/.pgset-* "$1/postmaster.pid" && sync
}

# The older copy is deleted only when all of the present data is beside it. A second run finds
# nothing to set aside, and keeps what there is.
set_aside() {
    # PostgreSQL does not start in a folder that others may read, and this one may be needed one day.
    mkdir -p "$kept_next" && chmod 0700 "$kept_next" && take_out "$data" "$kept_next" || return 1
    if [ -d "$rewinding" ]; then
        take_out "$rewinding" "$kept_next" && rm -rf "$rewinding" || return 1
    fi
    sync || return 1
    if ! rmdir "$kept_next" 2>/dev/null; then
        drop "$kept" && rename "$kept_next" "$kept" || return 1
    fi
    rm -f "$unusable" "$promoting" "$no_room" "$found" && sync
}

# Goes on where an earlier run of this script was interrupted.
settle() {
    if [ -d "$whole" ]; then
        set_aside && rename "$whole" "$up" || return 1
    fi
    if [ -d "$up" ]; then bring_up || return 1; fi
    if has_raised_settings; then lower_settings || return 1; fi
}

settle_or_refuse() {
    settle || refuse "the files in the data directory $data cannot be moved: see the log of container pgset-bootstrap, fix the volume and restart the pod"
    if has_to_be_tried; then try_image "$@"; fi
}

clear_staging() {
    drop "$staging" && mkdir -m 0700 "$staging"
}

move_up() {
    seal "$staging" && rm -f "$unusable" "$promoting" "$no_room" "$found" && rename "$staging" "$up" && bring_up
}

has_no_data() {
    case $(data_state) in
        empty | interrupted) ;;
        *) failure="there is data already"; return 1 ;;
    esac
    is_seen_by_sidecar
}

# The sidecar beats in the directory before it gives an order. Without a volume there each container
# has a directory of its own at that path, and the data would go with this one.
is_seen_by_sidecar() {
    if [ -e "$data/.pgset-heartbeat" ]; then return; fi
    failure="the sidecar's heartbeat is not in the data directory $data: no volume is mounted there, so that each container has a directory of its own, or the volume takes no writes; mount the volume there or above it, or set PGDATA to a directory on it"
    return 1
}

# A postmaster.pid can only be left over: no postmaster runs in this pod before the init containers
# have ended, and the sidecar has seen that no other pod writes here.
start() {
    starting=yes
    case $(data_state) in
        present) ;;
        broken) failure="this data cannot be started until it has been cloned again"; return 1 ;;
        *) failure="there is no database to start"; return 1 ;;
    esac
    if [ -n "$contract" ]; then failure=$contract; return 1; fi
    rm -f "$data/postmaster.pid" && drop "$staging" && note_what_was_found &&
        delete_others_histories || return 1
    if [ "$1" = start-writable ]; then
        rm -f "$data/standby.signal" && sync
    else
        put_standby_signal "$data" && sync
    fi
}

# A link may lead to what is in this container alone: without it PostgreSQL would start writable.
put_standby_signal() {
    if [ -L "$1/standby.signal" ] || [ ! -f "$1/standby.signal" ]; then
        rm -f "$1/standby.signal" || return 1
    fi
    touch "$1/standby.signal"
}

# In case pgset is removed before any member has led: only what was writable may become so again.
note_what_was_found() {
    if [ -s "$found" ]; then return; fi
    if [ -e "$data/standby.signal" ]; then echo standby > "$found"; else echo writable > "$found"; fi
}

. "${0%/*}/bootstrap_image.sh"
. "${0%/*}/bootstrap_initdb.sh"
. "${0%/*}/bootstrap_settings.sh"
. "${0%/*}/bootstrap_copy.sh"
. "${0%/*}/bootstrap_wal.sh"

# Or the previous run's report would be believed while this one looks.
rm -f "$handshake/report" || true
need_programs "$@"
check_version
if [ "$(id -u)" = 0 ]; then become_postgres "$@"; fi
check_user
stand_in_for_gosu
look_at_image "$@"
check_owner
refuse_another_directory "$@"
if [ "$(data_state)" = not-ours ]; then
    refuse "the data directory $data holds files, but not a PostgreSQL database: empty it, or set PGDATA to a sub-directory"
fi
look_at_settings "$@"
report

failed() {
    failure=${failure:-"$1 failed: see the log of container pgset-bootstrap"}
}

while :; do
    read_order
    if [ -z "$verb" ]; then
        sleep 0.1
        continue
    fi
    failure=
    # Nothing starts before this container ends, and then as the order says.
    drop_hold "$data" || true
    case $verb in
        leave) leave ;;
        settle) ;; # as after every order
        initdb) run_initdb "$@" || failed "initdb" ;;
        clone) { clone "$conninfo" && copied=yes; } || failed "the clone" ;;
        reclone) { reclone "$conninfo" && copied=yes; } || failed "the re-clone" ;;
        rewind) rewind "$conninfo" "$@" || failed "the rewind" ;;
        start | start-writable) start "$verb" || failed "the start" ;;
        *) failure="unknown order $verb" ;;
    esac
    case $verb:$failure in
        # Settings that are raised now are for this start, and stay.
        start: | start-writable:) done=$number; report; exit 0 ;;
    esac
    starting=
    settle_or_refuse "$@"
    done=$number
    look_at_settings "$@"
    report
done
