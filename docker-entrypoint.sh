#!/bin/sh
# Start `seedpoint` with a writable Numba cache, which Numba needs.
#
# The image brings kernels compiled for the machine that built it. They are copied once to the
# volume, where a CPU of another kind adds its own, or to /tmp when the volume cannot be written.
# The directory is named after the kernels' sources, so an upgraded image never runs old kernels.
set -eu

built=/opt/seedpoint/kernels
name=kernels-$(sha256sum "$built/sources" | cut -c 1-16)

# A writable copy of the built kernels at $1, put there whole; another container may be first.
place() {
    if [ ! -w "$1" ]; then
        part=$(mktemp -d "$1.XXXXXX") || return
        if ! { cp -r "$built/." "$part" && mv -T "$part" "$1"; }; then
            rm -rf "$part"
        fi
    fi
    [ -w "$1" ]
}

if [ -z "${NUMBA_CACHE_DIR:-}" ]; then
    for NUMBA_CACHE_DIR in "/data/$name" "/tmp/$name"; do
        if place "$NUMBA_CACHE_DIR" 2>/dev/null; then break; fi
    done
    export NUMBA_CACHE_DIR
fi

exec seedpoint "$@"
