# The folder pg_wal: WAL on a volume of its own, where it is a symbolic link, and histories of others'
# timelines in it. Part of bootstrap.sh, which reads this file.
#
# initdb puts WAL into the directory that it is given. A clone needs an empty one, and there the WAL of
# the data that it replaces may be: so each clone has a folder of its own in there. It is deleted with
# the data directory whose pg_wal leads to it, and so never another pod's.

wal_folder=pgset-wal

# Prints the directory that initdb is given.
given_wal_volume() {
    given=${POSTGRES_INITDB_WALDIR:-$(option_of_initdb -X --waldir --xlogdir)}
    if [ -n "$given" ]; then printf '%s\n' "${given%/}"; fi
}

# Prints the same or, if somebody has set pg_wal up by hand, where that is.
wal_volume() {
    given=$(given_wal_volume)
    for place in "$data" "$rewinding"; do
        linked=$(leads_to "$place")
        given=${given:-${linked%/"$wal_folder"-*}}
    done
    if [ -n "$given" ]; then printf '%s\n' "${given%/}"; fi
}

# FOLDER; prints nothing where pg_wal is in the data directory itself.
leads_to() {
    if [ -L "$1/pg_wal" ]; then readlink -f "$1/pg_wal"; fi
}

# As the official image does, before it stops to be root: by what the pod says alone. Where pg_wal leads
# is up to PostgreSQL's user, who must not become the owner of another volume by that.
own_wal_volume() {
    volume=$(given_wal_volume)
    if [ -z "$volume" ]; then return; fi
    mkdir -p "$volume"
    find "$volume" \! -user postgres -exec chown postgres {} +
}

# FOLDER: deletes a data directory that nobody needs any more, its WAL first, as nothing else says
# where that is.
drop() {
    linked=$(leads_to "$1")
    for place in "$data" "$rewinding" "$whole" "$up" "$kept" "$kept_next"; do
        if [ "$place" != "$1" ] && [ "$(leads_to "$place")" = "$linked" ]; then linked=; fi
    done
    case $linked in
        "") ;;
        */"$wal_folder"-*) rm -rf "$linked" || return 1 ;;
        *)
            # What PostgreSQL has made there, and no other clone's folder.
            find "$linked" -mindepth 1 -maxdepth 1 \
                \( -name '[0-9A-F][0-9A-F][0-9A-F][0-9A-F][0-9A-F][0-9A-F][0-9A-F][0-9A-F]*' -o -name archive_status -o -name summaries -o -name 'xlogtemp.*' \) \
                -exec rm -rf {} + 2>/dev/null || true
            ;;
    esac
    rm -rf "$1"
}

# A standby whose WAL its primary does not have has fetched the history of that one's timeline all the
# same. PostgreSQL goes for the newest history that it finds, and ends at once if this data is not in
# it: `requested timeline 36 is not a child of this server's history`. Mostly the data is rewound before
# a start. Where nobody leads it has to start as it is, since the others wait to hear what it has. Such a
# history is of no use here, and whoever has WAL of that timeline has it, too.
delete_others_histories() {
    find_newer_histories
    for history in $newer; do
        # A pipe of that name is read by nobody: it would be waited for.
        if [ -f "$data/pg_wal/$history" ] && leads_on_from "$data/pg_wal/$history"; then continue; fi
        rm -rf "$data/pg_wal/$history" || return 1
    done
}

# CONNINFO; deletes those that are not the primary's. PostgreSQL fetches no history whose name is there,
# and so would never go on to a timeline of the primary's that has the same number.
delete_histories_unlike() {
    find_newer_histories
    for history in $newer; do
        theirs=$(ask_primary "$1" "SELECT pg_catalog.encode(pg_catalog.pg_read_binary_file('pg_wal/$history', 0, 65536, true), 'escape')") || return 1
        if [ "$theirs" != "$(cat "$data/pg_wal/$history")" ]; then rm -f "$data/pg_wal/$history" || return 1; fi
    done
}

# Sets $newer to the histories of timelines after this data's own, and $timeline, $checkpoint and
# $replayed to how far it is.
find_newer_histories() {
    newer=
    known=$(control_data "$data") || return 0
    timeline=$(control "Latest checkpoint's TimeLineID")
    checkpoint=$(control "Latest checkpoint location")
    replayed=$(control "Minimum recovery ending location")
    replayed_on=$(control "Min recovery ending loc's timeline")
    # The checkpoint is on a timeline before it, then.
    if [ "$replayed_on" -gt "$timeline" ]; then timeline=$replayed_on checkpoint=0/0; fi
    for history in "$data"/pg_wal/*.history; do
        history=${history##*/}
        # None at all, or another's file.
        case ${history%.history} in *[!0-9A-F]* | ?????????*) continue ;; esac
        if [ $((0x${history%.history})) -gt "$timeline" ]; then newer="$newer $history"; fi
    done
}

# HISTORY; whether it has this data's timeline, up to where this data is at least.
leads_on_from() {
    left_at=$(sed -nE "s#^${timeline}[[:space:]]+([0-9A-Fa-f]+/[0-9A-Fa-f]+).*#\1#p" "$1") && [ -n "$left_at" ] &&
        [ "$(bytes "$left_at")" -gt "$(bytes "$checkpoint")" ] &&
        [ "$(bytes "$left_at")" -ge "$(bytes "$replayed")" ]
}

# A position in WAL, such as 0/191587A0, as a number.
bytes() {
    echo $((0x${1%/*} * 4294967296 + 0x${1#*/}))
}
