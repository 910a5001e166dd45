#!/usr/bin/env bash
# Install what the tests need from the system: as root it installs, otherwise it says what is lacking and goes on,
# and the tests in question skip loudly (or fail, when CI=true).
set -euo pipefail

# Debian packages, and how to tell that one is there; a server that tests come to need gets a line here.
packages=(python3-venv curl git make postgresql postgis)
present() {
    case "$1" in
        python3-venv) python3 -c 'import ensurepip, venv' ;;
        curl | git | make) command -v "$1" ;;
        postgresql) ls /usr/lib/postgresql/*/bin/initdb ;;
        postgis) ls /usr/share/postgresql/*/extension/postgis.control ;;
        *) dpkg --status "$1" ;;
    esac >/dev/null 2>&1
}

# PostGIS is packaged for each version of PostgreSQL: the newest installed, else the one `postgresql` stands for.
postgresql_version() {
    { apt-cache depends postgresql | grep --only-matching 'postgresql-[0-9]*$' | cut --delimiter=- --fields=2
        ls /usr/lib/postgresql 2>/dev/null || true; } | tail --lines=1
}

lacking=()
for package in "${packages[@]}"; do
    present "$package" || lacking+=("$package")
done

if [ "${#lacking[@]}" -eq 0 ]; then
    echo "Servers: all that the tests need is installed."
elif [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    apt-get update --quiet --quiet
    for i in "${!lacking[@]}"; do
        case "${lacking[i]}" in
            postgresql)
                # The tests start servers of their own; Debian's package is not to make and run one for the system.
                mkdir --parents /etc/postgresql-common/createcluster.d
                echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/voltweave.conf
                ;;
            postgis) lacking[i]="postgresql-$(postgresql_version)-postgis-3" ;;
        esac
    done
    apt-get install --quiet --quiet --yes --no-install-recommends "${lacking[@]}"
else
    echo "Servers: lacking ${lacking[*]}. To install: sudo make servers" >&2
fi
