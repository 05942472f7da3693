# A new database. Part of bootstrap.sh, which reads this file.

# Prints the words of POSTGRES_INITDB_ARGS, one a line. They are those of a shell's command line, as
# they are for the official image: in quotes, perhaps, or with a variable. In a process of its own,
# since a shell ends by what it cannot read.
words_for_initdb() (
    set +u
    # In YAML they may be on several lines.
    eval "set -- $(printf '%s' "${POSTGRES_INITDB_ARGS:-}" | tr '\n' ' ')" 2>/dev/null
    printf '%s\n' "$@"
)

# NAME...: prints the value that initdb is given for an option of these names, the last one of several.
option_of_initdb() {
    words_for_initdb | {
        value=
        awaited=
        while IFS= read -r word; do
            if [ -n "$awaited" ]; then value=$word awaited=; fi
            for name; do
                case $word in
                    "$name") awaited=yes ;;
                    "$name"=*) value=${word#*=} ;;
                    "$name"*) case $name in --*) ;; *) value=${word#"$name"} ;; esac ;;
                esac
            done
        done
        printf '%s' "$value"
    }
}

# What an interrupted initdb has left there went with the staging folder.
wal_volume_is_empty() {
    wal=$(wal_volume)
    if [ -n "$wal" ] && [ -d "$wal" ] && [ -n "$(find "$wal" -mindepth 1 -maxdepth 1)" ]; then
        failure="the WAL directory $wal has files of something else, and initdb needs it empty: empty it, or name a sub-directory"
        return 1
    fi
}

# Where we have put in PGDATA, the image's own script may have had the database in another folder, such
# as one that is named after a host name that is not the pod's.
is_nowhere_beside() {
    if [ -z "${PGSET_POD_NAME:-}" ]; then return; fi
    for place in "${data%/*}"/*/PG_VERSION; do
        if [ -e "$place" ] && [ "$place" != "$data/PG_VERSION" ]; then
            failure="there is a database in ${place%/*} already, beside $data, which is empty: name its folder by a variable of the database container's env, or move it there"
            return 1
        fi
    done
}

# The stock entrypoint makes the data and runs the user's scripts as usual, but the server that it
# starts in the end listens on no TCP address, and is stopped as soon as it is up. Where postgres
# itself is started, nobody else makes any data.
run_initdb() {
    has_no_data && is_nowhere_beside && clear_staging && wal_volume_is_empty && keeps_contract "$@" || return 1
    untried=
    arguments=$(printf '%s' "${POSTGRES_INITDB_ARGS:-}" | tr '\n' ' ')
    case " $arguments " in
        *-data-checksums*) ;;
        *) arguments="$arguments --data-checksums" ;;
    esac
    case ${1##*/} in
        postgres) own_initdb && set -- "$@" -c unix_socket_directories="$handshake" || return 1 ;;
        *) lead_to_new_files || return 1 ;;
    esac
    # A configuration file elsewhere may say where the data will be.
    as_given env PGDATA="$staging" POSTGRES_INITDB_ARGS="$arguments" "$@" \
        -c data_directory="$staging" -c listen_addresses= &
    server=$!
    until final_server_is_ready; do
        kill -0 "$server" 2>/dev/null || return 1
        if has_no_arguments; then
            end_server_without_arguments "$staging"
            return 1
        fi
        sleep 0.1
    done
    # It may have become ready between two looks.
    if has_no_arguments; then
        end_server_without_arguments "$staging"
        return 1
    fi
    case ${1##*/} in
        postgres) make_database || { kill -INT "$server"; wait "$server"; return 1; } ;;
    esac
    kill -INT "$server" && wait "$server" && take_script_files && has_no_name_twice &&
        lead_out_of_staging && move_up && echo writable > "$found"
}

# As the official image's entrypoint does.
own_initdb() {
    superuser=$(value_of POSTGRES_USER) && password=$(value_of POSTGRES_PASSWORD) || return 1
    superuser=${superuser:-postgres}
    if [ -z "$password" ]; then
        failure="a new database needs a password for its superuser: set POSTGRES_PASSWORD"
        return 1
    fi
    # For the locale C initdb would choose SQL_ASCII, which knows no characters.
    locale=$(option_of_initdb --lc-ctype)
    locale=${locale:-$(option_of_initdb --locale)}
    case " $arguments " in *" --no-locale "*) locale=C ;; esac
    locale=${locale:-${LC_ALL:-${LC_CTYPE:-${LANG:-C}}}}
    case $locale:$(option_of_initdb -E --encoding) in
        C: | POSIX:) arguments="$arguments --encoding=UTF8" ;;
    esac
    (umask 077 && printf '%s\n' "$password" > "$handshake/initdb-password")
    waldir=${POSTGRES_INITDB_WALDIR:-}
    made=
    # The arguments are words of a shell's command line, as they are for the official one.
    eval 'initdb --pgdata="$staging" --username="$superuser" --pwfile="$handshake/initdb-password"' \
        '--auth-local=trust --auth-host=scram-sha-256' '${waldir:+--waldir="$waldir"}' "$arguments" &&
        echo "host all all all scram-sha-256" >> "$staging/pg_hba.conf" &&
        echo "listen_addresses = '*'" >> "$staging/postgresql.conf" || made=failed
    rm -f "$handshake/initdb-password"
    [ -z "$made" ]
}

# NAME: prints a variable, or what is in the file that NAME_FILE names.
value_of() {
    eval "file=\${$1_FILE:-} value=\${$1:-}"
    # The kubelet leaves it so where the secret that it names is optional, and not there.
    case $value in '$('*[!A-Za-z0-9_.-]*')') ;; '$('?*')') value= ;; esac
    if [ -n "$file" ]; then cat "$file"; else printf '%s' "$value"; fi
}

# The application's database and, in images that have one, the role that owns it.
make_database() {
    (
        port=$(sed -n 4p "$staging/postmaster.pid")
        APP_DATABASE=$(value_of POSTGRES_DB)
        APP_OWNER=${PGSET_OWNER:-}
        APP_PASSWORD=${PGSET_OWNER_PASSWORD:-}
        unset $(env | sed -n 's/^\(PG[A-Z0-9_]*\)=.*/\1/p')
        export APP_DATABASE APP_OWNER APP_PASSWORD
        # Whatever the server is told to log: here a password is among it.
        export PGOPTIONS="-c log_statement=none -c log_min_duration_statement=-1 -c log_min_duration_sample=-1 -c log_transaction_sample_rate=0 -c log_min_error_statement=panic -c track_activities=off -c debug_print_parse=off -c debug_print_rewritten=off -c debug_print_plan=off -c pg_stat_statements.track=none -c pg_stat_monitor.pgsm_track=none -c auto_explain.log_min_duration=-1 -c pgaudit.log=none -c search_path=pg_catalog,pg_temp"
        if [ "${major:-0}" -ge 18 ]; then PGOPTIONS="$PGOPTIONS -c debug_print_raw_parse=off"; fi
        psql --no-psqlrc --no-password --quiet --set=ON_ERROR_STOP=1 --host="$handshake" \
            --port="$port" --username="$superuser" --dbname=postgres <<'SQL'
\set database `printf %s "$APP_DATABASE"`
\set owner `printf %s "$APP_OWNER"`
\set password `printf %s "$APP_PASSWORD"`
SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', :'owner', :'password')
    WHERE :'owner' <> '' AND NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'owner') \gexec
SELECT format('CREATE DATABASE %I', :'database')
    WHERE :'database' <> '' AND NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
SELECT format('ALTER DATABASE %I OWNER TO %I', :'database', :'owner')
    WHERE :'database' <> '' AND :'owner' <> '' \gexec
SQL
    )
}

# Init scripts may name the data directory where they should say $PGDATA, most often to append to one
# of these, which then is there, or to edit it in place, which puts a file there instead.
lead_to_new_files() {
    if [ -e "$initdb" ]; then
        rm -rf "$from_scripts" && mkdir -p "$from_scripts" && move_all_but_version "$data" "$from_scripts" || return 1
    fi
    touch "$initdb" || return 1
    for name in $script_files; do ln -s ".pgset-new/$name" "$data/$name" || return 1; done
}

take_script_files() {
    for name in $script_files; do
        if [ -L "$data/$name" ]; then
            rm -f "$data/$name" || return 1
        elif [ -f "$data/$name" ]; then
            mv "$data/$name" "$staging/$name" || return 1
        fi
    done
}

# A folder cannot be moved to where a script has made another one with something in it.
has_no_name_twice() {
    for made in "$staging"/*; do
        name=${made##*/}
        if [ -e "$data/$name" ] && ! rmdir "$data/$name" 2>/dev/null; then
            failure="an init script has made $data/$name, and PostgreSQL has one of that name: let the script say \$PGDATA, not where that usually is"
            return 1
        fi
    done
}

# A script that says $PGDATA has written down the name of a folder that is about to be renamed, such as
# in ssl_cert_file or include_dir.
lead_out_of_staging() {
    from=$(printf '%s' "$staging" | sed 's/[]\/$*.^[]/\\&/g')
    to=$(printf '%s' "$data" | sed 's/[\/&]/\\&/g')
    find "$staging" -maxdepth 3 -name '*.conf' -type f \
        -exec env LC_ALL=C sed -i "s/$from/$to/g" {} +
}

# The entrypoint's temporary server is another process; the final one replaces the entrypoint.
final_server_is_ready() {
    [ "$(sed -n 1p "$staging/postmaster.pid" 2>/dev/null)" = "$server" ] &&
        sed -n 8p "$staging/postmaster.pid" | grep -q ready
}

# Whether the command has started a server that listens on an address. The entrypoint's temporary one
# has none either; if an init script restarts that with one, pg_ctl leaves it to another parent.
has_no_arguments() {
    [ -n "$(sed -n 6p "$staging/postmaster.pid" 2>/dev/null)" ] || return 1
    started=$(sed -n 1p "$staging/postmaster.pid" 2>/dev/null)
    [ "$started" = "$server" ] ||
        [ "$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$started/status" 2>/dev/null)" = "$server" ]
}

# A command of the user's own, such as a script in a file, may pass on nothing that is added to it.
end_server_without_arguments() {
    failure="the command that starts PostgreSQL passes on no arguments, and pgset adds some: let it end in exec docker-entrypoint.sh \"\$@\" or the like"
    kill -INT "$(sed -n 1p "$1/postmaster.pid")" || kill -INT "$server" || true
    wait "$server" || true
}
