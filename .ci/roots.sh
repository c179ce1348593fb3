# Bare Debian roots for .ci/image and .ci/bare: made by debootstrap, entered by chroot in namespaces of their own,
# so that mounts and processes end with the command. Sourced, not run, by scripts that are root.

# Roots are kept packed for the next run.
packed_roots=target/ci

# as_root SCRIPT: goes on as root.
as_root() {
    if ((EUID != 0)); then exec sudo --preserve-env=PATH,HOME,CARGO_HOME,RUSTUP_HOME "$1"; fi
}

# bare_root SUITE DIRECTORY: a new root with nothing but Debian's essential packages, and this machine's way to
# Debian's archive.
bare_root() {
    local suite=$1 root=$2 packed=$packed_roots/$1.tar file
    if [[ ! -e $packed ]]; then
        mkdir -p "$packed_roots"
        debootstrap --variant=minbase "$suite" "$root.new" http://deb.debian.org/debian
        tar -C "$root.new" -cf "$packed.new" .
        mv "$packed.new" "$packed"
        rm -rf "$root.new"
    fi
    mkdir -p "$root"
    tar -C "$root" -xf "$packed"
    chmod 755 "$root"
    # Its services are not to be started by their packages.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    cp /etc/resolv.conf /etc/hosts "$root/etc/"
    cp -r /etc/apt/. "$root/etc/apt/"
    # Other archives than this suite's would need their keys.
    rm -f "$root/etc/apt/sources.list"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        if [[ ! -f $file ]]; then continue; fi
        if grep -Eq "^(Suites:|deb ).* $suite( |\$)|^Suites: $suite( |\$)" "$file"; then
            cp "$file" "$root${file}"
        else
            rm -f "$root${file}"
        fi
    done
    # As installing Rust brings them, and so that Debian's package of certificates keeps them.
    mkdir -p "$root/etc/ssl/certs" "$root/usr/local/share/ca-certificates" "$root/opt/rust"
    for file in etc/ssl/certs/ca-certificates.crt usr/local/share/ca-certificates/of-this-machine.crt; do
        cp -L "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$root/$file"
    done
}

# inside ROOT COMMAND...: runs a command as root in there, with Rust. It is the first process of its own
# namespace: when it ends, or this script does, nothing of it is left. In the background, `in_place=exec` makes
# `$!` the process to kill for that.
inside() {
    local root=$1
    shift
    ${in_place:-} unshare --mount --pid --fork --kill-child sh -euc '
        root=$1 rust=$2
        shift 2
        mount --rbind /dev "$root/dev"
        mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
        mount -t proc proc "$root/proc"
        mount --bind -o ro "$rust" "$root/opt/rust"
        exec chroot "$root" "$@"' - "$root" "$(rustc --print sysroot)" "$@"
}

# What every command in there has of this machine's environment.
passed_on() {
    printf '%s\n' PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt DEBIAN_FRONTEND=noninteractive CARGO_TERM_COLOR=never
    env | grep -iE '^(https?|no)_proxy=' || true
}

# port: one that is probably free.
port() { echo $((20000 + RANDOM % 10000)); }

# until_ready PORT PID LOG: waits for a server, up to 60 minutes, for as long as the process runs.
until_ready() {
    for ((waited = 0; waited < 3600; waited++)); do
        if curl -sf -o "$work/ready" "http://127.0.0.1:$1/ready"; then return 0; fi
        kill -0 "$2" 2>/dev/null || break
        sleep 1
    done
    echo "the server is not ready:"
    tail -n 30 "$3"
    return 1
}
