#!/bin/bash
# What crunchy's start script does with PG_MODE=primary, written anew from its description:
#   the data is in /pgdata/$HOSTNAME or /pgdata/$PGDATA_PATH_OVERRIDE, whatever PGDATA is
#   no postgresql.conf yet: initdb, PG_USER and PG_DATABASE
#   at each start: removes postmaster.pid, appends to postgresql.conf, starts PostgreSQL as another
#   process and waits for it; arguments are ignored
set -u
PGDATA=/pgdata/${PGDATA_PATH_OVERRIDE:-$HOSTNAME}
export PGDATA
rm -f "$PGDATA/postmaster.pid"

if [[ ! -f $PGDATA/postgresql.conf ]]; then
    mkdir -p "$PGDATA" && chmod 0700 "$PGDATA"
    initdb -D "$PGDATA" --username=postgres --encoding=UTF8 --auth=md5 \
        --pwfile=<(printf '%s\n' "$PG_ROOT_PASSWORD") || exit 1
    cat >>"$PGDATA/pg_hba.conf" <<HBA
host replication $PG_PRIMARY_USER 0.0.0.0/0 md5
host all all 0.0.0.0/0 md5
HBA
    printf "listen_addresses = '*'\nunix_socket_directories = '/tmp'\n" >>"$PGDATA/postgresql.conf"
    export PGPASSWORD=$PG_ROOT_PASSWORD PGHOST=/tmp
    pg_ctl -D "$PGDATA" -w start
    psql -U postgres -d postgres -v ON_ERROR_STOP=1 -v owner="$PG_USER" -v password="$PG_PASSWORD" \
        -v db="$PG_DATABASE" -v replicates="$PG_PRIMARY_USER" -v with="$PG_PRIMARY_PASSWORD" <<'SQL'
CREATE ROLE :"owner" LOGIN PASSWORD :'password';
CREATE ROLE :"replicates" REPLICATION LOGIN PASSWORD :'with';
CREATE DATABASE :"db" OWNER :"owner";
SQL
    pg_ctl -D "$PGDATA" -m fast -w stop
fi
printf 'archive_mode = off\narchive_timeout = 60\n' >>"$PGDATA/postgresql.conf"

trap 'pg_ctl -D "$PGDATA" -m fast -w stop' TERM
postgres -D "$PGDATA" &
wait
