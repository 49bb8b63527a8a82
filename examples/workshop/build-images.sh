#!/bin/sh
# Builds the images of the workshop's two pods from Debian's busybox-static, as archives that `palisade image import`,
# `podman load` and `docker load` take.  Usage: build-images.sh FOLDER
set -eu
out=${1:?usage: build-images.sh FOLDER}
busybox=$(command -v busybox) || { echo "busybox is missing: apt-get install -y busybox-static" >&2; exit 2; }
arch=$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
mkdir -p "$out"

# build NAME FILE ENTRYPOINT: one layer with busybox under all its names, /entry, and a few folders.
build() {
    work=$(mktemp -d)
    mkdir -p "$work/root/bin" "$work/root/tmp" "$work/root/etc" "$work/root/mount/test-volume" "$work/root/srv"
    chmod 1777 "$work/root/tmp"
    cp "$busybox" "$work/root/bin/busybox"
    for name in $("$busybox" --list); do
        [ "$name" = busybox ] || ln -s busybox "$work/root/bin/$name"
    done
    printf 'root:x:0:0:root:/:/bin/sh\nuser:x:1000:1000:user:/:/bin/sh\n' >"$work/root/etc/passwd"
    printf 'root:x:0:\nuser:x:1000:\n' >"$work/root/etc/group"
    echo hello >"$work/root/srv/note"
    printf '%s\n' "$3" >"$work/root/bin/entry"
    chmod 755 "$work/root/bin/entry"
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$work/root" -cf "$work/layer.tar" .
    digest=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
    cat >"$work/config.json" <<JSON
{"architecture": "$arch", "os": "linux",
 "config": {"Entrypoint": ["/bin/entry"], "Env": ["PATH=/bin"], "WorkingDir": "/"},
 "rootfs": {"type": "layers", "diff_ids": ["sha256:$digest"]}}
JSON
    printf '[{"Config": "config.json", "RepoTags": ["%s"], "Layers": ["layer.tar"]}]\n' "$1" >"$work/manifest.json"
    tar -C "$work" -cf "$out/$2" manifest.json config.json layer.tar
    rm -rf "$work"
}

# Serves /srv on the port that it is told.
build gcr.io/google_containers/explorer:1.0 explorer.tar '#!/bin/sh
port=8080
for word in "$@"; do case $word in -port=*) port=${word#-port=} ;; esac; done
exec httpd -f -p "$port" -h /srv'

# Waits; given words, runs them.
build docker.io/library/sotrustworthy:latest sotrustworthy.tar '#!/bin/sh
[ $# = 0 ] || exec "$@"
exec sleep 2147483647'
