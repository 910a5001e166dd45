#!/usr/bin/env bash
# Install what the tests need from the system: as root it installs, otherwise it says what is lacking and goes on,
# and the tests in question skip loudly (or fail, when CI=true).
set -euo pipefail

# Debian packages, and how to tell that one is there; a server that tests come to need gets a line here.
packages=(python3-venv curl git make)
present() {
    case "$1" in
        python3-venv) python3 -c 'import ensurepip, venv' ;;
        curl | git | make) command -v "$1" ;;
        *) dpkg --status "$1" ;;
    esac >/dev/null 2>&1
}

lacking=()
for package in "${packages[@]}"; do
    present "$package" || lacking+=("$package")
done

if [ "${#lacking[@]}" -eq 0 ]; then
    echo "Servers: all that the tests need is installed."
elif [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    apt-get update --quiet --quiet
    apt-get install --quiet --quiet --yes --no-install-recommends "${lacking[@]}"
else
    echo "Servers: lacking ${lacking[*]}. To install: sudo make servers" >&2
fi
