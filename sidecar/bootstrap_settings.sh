# The server and its settings: whether it is of a version that can be a member, with what it would
# start, what a standby refuses, what has been raised for one start. Part of bootstrap.sh, which reads
# this file.

# What this pod's sidecar has raised for an earlier start, or the primary's for its own. Nobody
# else writes a number like this; see `with_raised` in sidecar/postgres/refused.py. By bytes: a path may
# be in any encoding.
raised="^(max_[a-z_]+ = '0x[0-9a-f]{8}'|wal_level = 'Replica'|(hot_standby_feedback|sync_replication_slots) = 'oN'|hba_file = '.*pgset_hba\\.conf')\$"

# As in sidecar/contract.py.
oldest_server=14
newest_server=18

server_version() {
    timeout -s KILL 5 postgres --version 2>/dev/null | sed -n 's/^[^)]*) \([0-9]\{1,\}\).*/\1/p'
}

# Before anything is written: an older server does not know what we write, nobody has seen what a newer
# one makes of it, and data is of one version alone.
check_version() {
    major=$(server_version)
    if [ -z "$major" ]; then return; fi
    if [ "$major" -lt "$oldest_server" ] || [ "$major" -gt "$newest_server" ]; then
        refuse "this image has PostgreSQL $major, and pgset runs $oldest_server to $newest_server: nothing was changed; take an image of one of these"
    fi
    for place in "$data" "$rewinding" "$whole" "$up"; do
        if [ ! -f "$place/PG_VERSION" ]; then continue; fi
        read -r written 2>/dev/null < "$place/PG_VERSION" || continue
        case ${written%%.*} in
            "$major" | "" | *[!0-9]*) ;;
            *) refuse "the data in $data was made by PostgreSQL $written, and this image has PostgreSQL $major, which cannot start it: nothing was changed; take an image of PostgreSQL $written, or give this pod an empty volume and restore a dump" ;;
        esac
    done
}

has_raised_settings() {
    [ -z "$starting" ] && [ -f "$data/PG_VERSION" ] && [ -f "$auto_conf" ] && LC_ALL=C grep -Eq "$raised" "$auto_conf" 2>/dev/null
}

lower_settings() {
    new=$data/.pgset-auto.conf
    LC_ALL=C sed -E "/$raised/d" "$auto_conf" > "$new" && chmod 0600 "$new" && sync && mv "$new" "$auto_conf" && sync
}

# Where pg_hba.conf is, and a copy of it, if the sidecar cannot write to it and a file can say that it
# is elsewhere: the sidecar then makes one of its own (see `own_hba` in sidecar/postgres/hba_file.py).
look_at_hba() {
    path=$(configured hba_file "$@" 2>/dev/null) || return 0
    case $path in "$data"/*) if [ ! -e "$path" ] || [ -w "$path" ]; then return 0; fi ;; esac
    if [ "$(configured hba_file -c hba_file=/pgset "$@" 2>/dev/null)" = /pgset ] &&
        timeout -s KILL 5 cat "$path" > "$handshake/pg_hba.new" < /dev/null; then
        mv "$handshake/pg_hba.new" "$handshake/pg_hba.conf" && hba=$path
    fi
}

# From PostgreSQL 17 on, a standby copies its primary's failover slots if it is told to; with another
# wal_level than logical, it would end by that.
look_at_logical_slots() {
    if [ "${major:-0}" -ge 17 ] && [ "$(configured wal_level "$@" 2>/dev/null)" = logical ]; then
        logical=yes
    fi
}

# With a target of a recovery no member can be promoted, or follow for ever, and nothing in a file
# overrides one on the command line.
refuse_recovery_target() {
    case "$*" in *recovery_target*) ;; *) return 0 ;; esac
    for name in recovery_target recovery_target_lsn recovery_target_name recovery_target_time \
        recovery_target_xid recovery_target_timeline; do
        other=
        if [ "$name" = recovery_target_timeline ]; then other=latest; fi
        value=$(configured "$name" -c "$name=$other" "$@" 2>/dev/null) || return 0
        if [ "$value" != "$other" ]; then
            refuse "$name is $value on PostgreSQL's command line, with which no member can follow or be promoted: remove it there, and delete this pod if it is not rolled"
        fi
    done
}

# What keeps this data from ever having a replica. A set that has led goes on with it.
look_for_objections() {
    objection=
    if [ -n "$(find "$data/pg_tblspc" -mindepth 1 2>/dev/null)" ]; then
        objection="the database has tablespaces, which cannot be copied to other members: move what is in them to pg_default and drop them"
    fi
}

# Whom this data follows, if pgset has not had it started yet: as a member it would do so no more. Of
# the conninfo the host alone, since there may be a password in it; ours is of another set's member.
look_at_upstream() {
    if [ ! -e "$data/standby.signal" ] || [ -e "$found" ] || [ -e "$promoting" ]; then return; fi
    upstream=$(configured primary_conninfo "$@" 2>/dev/null) || return 0
    case $upstream in
        "") if [ -n "$(configured restore_command "$@" 2>/dev/null)" ]; then follows="an archive (restore_command)"; fi ;;
        *pgset_replication*) ;;
        *)
            follows=$(printf '%s\n' "$upstream" | sed -nE \
                -e "s#^postgres(ql)?://([^/?]*@)?(\[[^]]*\]|[^]:/?,]*).*#\3#p" -e t \
                -e "s/^(.*[[:space:]])?host(addr)?[[:space:]]*=[[:space:]]*'?([^'[:space:],]+).*/\3/p")
            follows=${follows:-"another server"}
            ;;
    esac
}

# Where the other members would look for this server.
refuse_another_port() {
    expected=${PGSET_PORT:-5432}
    port=$(configured port "$@" 2>/dev/null) || return 0
    if [ "$port" != "$expected" ]; then
        refuse "PostgreSQL would listen on port $port, but the other members and the Services expect $expected: set the annotation pgset.dev/port of the StatefulSet to \"$port\", or PostgreSQL's port to $expected"
    fi
}

# The sidecar looks for it on 127.0.0.1. With no way there nobody would be promoted: until now this
# server may have been reached by a socket or by its pod's address alone.
refuse_other_addresses() {
    addresses=$(configured listen_addresses "$@" 2>/dev/null) || return 0
    case ,$(printf '%s' "$addresses" | tr -d ' \n'), in
        *,\*,* | *,0.0.0.0,* | *,127.0.0.1,* | *,localhost,*) ;;
        *) refuse_newcomer "PostgreSQL would listen on ${addresses:-no address}, but the sidecar connects to 127.0.0.1 and other members to the pod's address: set listen_addresses to '*'" ;;
    esac
}

# COMMAND...: prints how many of its words stand before the server's arguments. Of what another
# program makes of the command line, nothing is known.
words_before_arguments() {
    case ${1##*/} in
        docker-entrypoint.sh | entrypoint.sh) case ${2:-} in -*) echo 1 ;; postgres) echo 2 ;; *) return 1 ;; esac ;;
        postgres) echo 1 ;;
        *) return 1 ;;
    esac
}

# Such as by a config_file: then PGDATA would get a new database, beside the real one; and of what is
# started read-only here, the real one would know nothing.
refuse_another_directory() {
    before=$(words_before_arguments "$@") || return 0
    shift "$before"
    named=$(configured data_directory "$@" 2>/dev/null) || return 0
    if [ "$(readlink -f "$named")" != "$(readlink -f "$data")" ]; then
        refuse_newcomer "PostgreSQL would take its data from $named, but PGDATA is $data: set PGDATA to the directory that has the data"
    fi
}

# Reports the settings with which a standby would refuse to start on this data, as words
# NAME:VALUE:NEEDED:ORIGIN; see sidecar/refused_setting.py. Nothing is written, and
# nothing is reported if a program fails. The postgres program itself is asked, with -C, with which
# it starts no server whatever follows; never the user's command, which may ignore its arguments.
look_at_settings() {
    refused=
    hba=
    logical=
    follows=
    if [ "$(data_state)" != present ]; then return; fi
    look_for_objections
    if before=$(words_before_arguments "$@"); then
        shift "$before"
        refuse_another_port "$@"
        refuse_other_addresses "$@"
    else
        set --
    fi
    refuse_recovery_target "$@"
    look_at_upstream "$@"
    look_at_hba "$@"
    look_at_logical_slots "$@"
    refused=$(refused_settings "$@" 2>/dev/null) || refused=
}

refused_settings() {
    said=
    known=$(control_data "$data") || return 1
    written=$(control "wal_level setting")
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
        needed=$(control "${pair#*:} setting")
        value=$(configured "$name" "$@") || return 1
        if [ "$value" -lt "$needed" ]; then
            from=$(origin_of "$name" "$needed" "$@") || return 1
            said="$said $name:$value:$needed:$from"
        elif [ "$name $value $origin" = "max_wal_senders 0 file" ] &&
            [ "$(origin_of "$name" 10 "$@")" = file ]; then
            # wal_level=minimal needs 0; with any other level a standby needs some to stream.
            said="$said $name:0:10:file"
        fi
    done
    echo "$said"
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
