#!/bin/sh
# Holds a node's mount namespace: called in a new one with the node's folder as $1, where
# `mounts` has lines "SOURCE TARGET". Says so in `mounted`, then only keeps it alive.
set -eu
mount --make-rprivate /
while read -r source target; do
    mount --bind "$source" "$target"
done <"$1/mounts"
mount -t tmpfs -o mode=755 pgset-netns /run/netns
# The kubelet needs its mounts to reach the containers.
mount --make-rshared /
: >"$1/mounted"
exec sleep infinity
