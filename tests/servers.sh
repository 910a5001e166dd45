#!/usr/bin/env bash
# Install what the tests need from the system: as root it installs, otherwise it says what is lacking and goes on,
# and the tests in question skip loudly (or fail, when CI=true). With the argument keycloak it gets only what that needs.
set -euo pipefail

# Debian packages, and how to tell that one is there; a server that tests come to need gets a line here.
packages=(python3-venv curl git make postgresql postgis default-jre-headless maven unzip chromium)
[ "${1:-}" != keycloak ] || packages=(default-jre-headless maven unzip)
present() {
    case "$1" in
        python3-venv) python3 -c 'import ensurepip, venv' ;;
        curl | git | make | unzip | chromium) command -v "$1" ;;
        default-jre-headless) command -v java ;;
        maven) command -v mvn ;;
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

# Keycloak is no package: its distribution comes by Maven, without root, and is built once for this user.
keycloak_version=26.4.0
keycloak="${XDG_CACHE_HOME:-$HOME/.cache}/voltweave/keycloak-$keycloak_version"
get_keycloak() {
    local get=org.apache.maven.plugins:maven-dependency-plugin:3.8.1 dist=org.keycloak:keycloak-quarkus-dist
    local new
    mkdir --parents "${keycloak%/*}"
    new=$(mktemp --directory "${keycloak%/*}/new.XXXXXX")
    mvn --quiet --batch-mode -Dstyle.color=never "$get:get" "-Dartifact=$dist:$keycloak_version:zip" -Dtransitive=false
    mvn --quiet --batch-mode -Dstyle.color=never "$get:copy" "-Dartifact=$dist:$keycloak_version:zip" "-DoutputDirectory=$new"
    unzip -q "$new/keycloak-quarkus-dist-$keycloak_version.zip" -d "$new"
    "$new/keycloak-$keycloak_version/bin/kc.sh" build --db=dev-file --health-enabled=true \
        --http-relative-path=/auth >/dev/null
    touch "$new/keycloak-$keycloak_version/built"
    # A build that was cut short, or another one of the same time, gives way.
    rm --recursive --force "$keycloak"
    mv "$new/keycloak-$keycloak_version" "$keycloak"
    rm --recursive --force "$new"
}

lacking=()
for package in "${packages[@]}"; do
    present "$package" || lacking+=("$package")
done

if [ "${#lacking[@]}" -eq 0 ]; then
    echo "Servers: all packages that are needed are installed."
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

if [ -f "$keycloak/built" ]; then
    echo "Servers: Keycloak $keycloak_version is there."
elif present default-jre-headless && present maven && present unzip; then
    echo "Servers: getting Keycloak $keycloak_version; a minute the first time."
    get_keycloak
else
    echo "Servers: lacking Keycloak, which needs Java, Maven and unzip." >&2
fi
