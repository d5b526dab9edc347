#!/bin/sh
# codns-resolvconf: puts codns into resolv.conf and takes it out again.
#
# It is what runs when codns itself cannot, so it needs no Python: POSIX sh and the usual small
# programs (busybox will do). `codns resolvconf` runs this very file.
#
# install   The file becomes: codns on localhost, then the nameservers there were, with
#           `timeout:2 attempts:2`, and `rotate` removed. 2 s, because codns answers with something
#           within 1.8 s and a stub that waits 1 s has left by then. The original, a link included,
#           is kept beside it as resolv.conf.codns-original: on the same disk, so that it outlives
#           a power failure as the file itself does, and in the same folder, so that a relative
#           link means the same. codns reads its own nameservers through it.
# restore   The original comes back, byte for byte. A file that somebody else wrote meanwhile is
#           left alone.
# status    Exit code 0 if installed, 1 if not.
#
# The file is replaced by a rename, so nobody ever reads half of it. Only where it is a mount of its
# own (containers) it is written in place. Installing twice is installing once; a file that is not
# ours is a new original.

set -eu
umask 022

MARK='# codns-resolvconf:'
NONE_BEFORE="$MARK there was no such file before."
SIZE_MAX=65536  # codns reads no more of it either; glibc reads lines, and real files have ten

action=
root=
address=127.0.0.1
only=no
facts=no

fail() {
    printf 'codns-resolvconf: %s\n' "$1" >&2
    exit 2
}

usage() {
    fail "$1; usage: codns-resolvconf install|restore|status [--only-localhost] \
[--address ADDRESS] [--root DIR]"
}

while [ $# -gt 0 ]; do
    case $1 in
        install | restore | status)
            [ -z "$action" ] || usage "one action at a time"
            action=$1
            ;;
        --root | --address)
            [ $# -gt 1 ] || usage "$1 needs a value"
            if [ "$1" = --root ]; then root=${2%/}; else address=$2; fi
            shift
            ;;
        --only-localhost) only=yes ;;
        --facts) facts=yes ;;  # for codns resolvconf --json: one "key<TAB>value" a line
        *) usage "unknown argument $1" ;;
    esac
    shift
done
[ -n "$action" ] || usage "nothing to do"
case $address in
    '' | *[!0-9A-Za-z.:%]*) usage "--address $address is not an address" ;;
esac

file=$root/etc/resolv.conf
folder=$root/etc
original=$file.codns-original
new=$file.codns-new.$$
uplink=$root/run/systemd/resolve/resolv.conf
trap 'rm -f "$new"' EXIT
trap 'exit 130' HUP INT TERM

# -- telling --------------------------------------------------------------------------------------

fact() {
    [ "$facts" = no ] || printf '%s\t%s\n' "$1" "$2"
}

say() {
    if [ "$facts" = yes ]; then fact said "$1"; else printf '%s\n' "$1"; fi
}

warn() {
    if [ "$facts" = yes ]; then fact warning "$1"; else printf 'warning: %s\n' "$1" >&2; fi
}

# -- looking --------------------------------------------------------------------------------------

there() {
    [ -e "$1" ] || [ -L "$1" ]
}

first_line() {
    line=
    # shellcheck disable=SC2015 # a file without its last newline makes read fail with the line read
    [ -r "$1" ] && IFS= read -r line < "$1" || :
    printf '%s' "$line"
}

is_ours() {
    # A link is never ours: what it points at may be a copy of our file that another tool made
    [ -f "$file" ] && [ ! -L "$file" ] || return 1
    case $(first_line "$file") in "$MARK"*) return 0 ;; esac
    return 1
}

# Where the content of $1 is: through an absolute link one has to go by way of --root.
content_of() {
    if [ -n "$root" ] && [ -L "$1" ]; then
        target=$(readlink "$1")
        case $target in
            /*) printf '%s' "$root$target" ;;
            *) printf '%s' "$folder/$target" ;;
        esac
    else
        printf '%s' "$1"
    fi
}

nameservers_in() {
    [ -r "$1" ] || return 0
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
            'nameserver '* | 'nameserver	'*)  # as glibc reads it: at the start of a line only
                set -f
                for word in ${line#nameserver}; do
                    printf '%s\n' "$word"
                    break
                done
                set +f
                ;;
        esac
        line=
    done < "$1"
}

# systemd-resolved's own stub, by the name of the link or by what the file holds
is_stub() {
    if [ -L "$1" ]; then
        case $(readlink "$1") in *systemd/resolve/stub-resolv.conf) return 0 ;; esac
    fi
    servers=$(nameservers_in "$2")
    [ -n "$servers" ] || return 1
    for server in $servers; do
        case $server in 127.0.0.53 | 127.0.0.54) ;; *) return 1 ;; esac
    done
}

is_own() {
    [ "$1" = "$address" ] && return 0
    [ "$address" = 127.0.0.1 ] || return 1
    case $1 in ::1 | 0.0.0.0 | ::) return 0 ;; esac
    return 1
}

keeper_of() {
    if [ -L "$1" ]; then
        case $(readlink "$1") in
            *systemd/resolve/*) printf 'systemd-resolved' ;;
            *NetworkManager/*) printf 'NetworkManager' ;;
            *resolvconf/*) printf 'resolvconf' ;;
        esac
        return
    fi
    [ -r "$1" ] || return 0
    case $(first_line "$1") in
        *NetworkManager*) printf 'NetworkManager' ;;
        *resolvconf*) printf 'resolvconf' ;;
        *dhcpcd*) printf 'dhcpcd' ;;
    esac
}

# -- making the file ------------------------------------------------------------------------------

# Write to standard output what comes of the original $1.
make_file() {
    source=$(content_of "$1")
    [ -r "$source" ] || source=/dev/null  # a dangling link: `install` has warned of it
    stub=no
    if is_stub "$1" "$source" && [ -n "$(nameservers_in "$uplink")" ]; then stub=yes; fi
    printf '%s queries go to codns on this host first.\n' "$MARK"
    if [ "$1" = /dev/null ]; then
        printf '%s\n' "$NONE_BEFORE"
    else
        printf "# The original is kept in /etc/resolv.conf.codns-original;\n"
        printf '# "systemctl stop codns.socket" or "codns resolvconf restore" puts it back.\n'
    fi
    printf 'nameserver %s\n' "$address"
    if [ "$stub" = yes ]; then print_others "$uplink"; else print_others "$source"; fi
    options=
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
            'options '* | 'options	'*) options="$options ${line#options?}" ;;
            '#'* | ';'* | '' | 'nameserver '* | 'nameserver	'*) ;;
            *) printf '%s\n' "$line" ;;
        esac
        line=
    done < "$source"
    print_options
}

print_others() {
    [ "$only" = no ] || return 0
    for server in $(nameservers_in "$1"); do
        is_own "$server" || printf 'nameserver %s\n' "$server"
    done
}

print_options() {
    kept=
    set -f
    for option in $options; do
        case $option in
            rotate | timeout:* | attempts:*) continue ;;
            # resolved wrote it for its own stub; from across the network the bit proves nothing
            trust-ad) [ "$stub" = no ] || continue ;;
        esac
        kept="$kept $option"
    done
    set +f
    printf 'options%s timeout:2 attempts:2\n' "$kept"
}

# -- replacing it ---------------------------------------------------------------------------------

# Put $1 in the place of $2 by a rename; is that a mount point, write it in place.
replace() {
    sync "$1" 2> /dev/null || :
    if mv -f "$1" "$2" 2> /dev/null; then
        if command -v restorecon > /dev/null 2>&1; then restorecon -F "$2" || :; fi
        return
    fi
    if [ -f "$2" ] && [ ! -L "$2" ] && cat "$1" 2> /dev/null > "$2"; then
        say "$2 cannot be replaced by a rename (a mount of its own?): written in place"
        rm -f "$1"
        return
    fi
    fail "cannot replace $2: run this as root; is it immutable (lsattr) or the disk read-only?"
}

check_writable() {
    [ -w "$folder" ] || fail "cannot write in $folder: run this as root"
}

# -- the three actions ----------------------------------------------------------------------------

# The file that the original's content is in, whether codns is installed or not.
base_of() {
    if ! is_ours; then
        if there "$file"; then printf '%s' "$file"; else printf /dev/null; fi
    elif there "$original"; then
        printf '%s' "$original"
    elif grep -qF "$NONE_BEFORE" "$file"; then
        printf /dev/null
    else
        printf '%s' "$file"  # the original was lost: our own lines are dropped on the way
    fi
}

keep_original() {
    if there "$file"; then
        keep=$original.new.$$
        cp -pP "$file" "$keep" 2> /dev/null || fail "cannot write $keep: run this as root"
        mv -f "$keep" "$original"
    else
        rm -f "$original"
    fi
}

tell_link() {
    [ -L "$1" ] || return 0
    who=$(keeper_of "$1")
    say "$file was a link to $(readlink "$1")${who:+ (of $who)}: it is a file now, \
and restore makes it that link again"
    case $who in
        systemd-resolved)
            say "systemd-resolved runs on; codns asks the nameservers in $uplink \
and follows them when they change"
            ;;
        NetworkManager | resolvconf)
            say "$who goes on writing the file behind the link; codns reads its nameservers there"
            ;;
    esac
}

install() {
    if [ -d "$file" ]; then fail "$file is a folder"; fi
    check_writable
    base=$(base_of)
    source=$(content_of "$base")
    if [ -f "$source" ] && [ "$(wc -c < "$source")" -gt $SIZE_MAX ]; then
        fail "$file has more than $SIZE_MAX bytes: no resolv.conf"
    fi
    if [ ! -r "$source" ]; then
        warn "$source cannot be read (yet?): no other nameserver stands behind codns for now"
    fi
    make_file "$base" > "$new"
    if is_ours && cmp -s "$new" "$file"; then
        fact changed no
        say "$file: codns is installed already"
    else
        if is_ours; then
            say "$file: brought up to date"
        else
            keep_original
            say "$file: codns first, then the nameservers there were; the original is in $original"
            tell_link "$original"
        fi
        replace "$new" "$file"
        fact changed yes
    fi
    warnings
}

restore() {
    if ! is_ours; then
        fact changed no
        if there "$original"; then
            check_writable
            rm -f "$original"
            say "$file is not what codns wrote: left as it is; the original kept is deleted"
        else
            say "$file: codns is not installed"
        fi
        return
    fi
    check_writable
    if there "$original"; then
        replace "$original" "$file"
        say "$file: the original is back"
    elif grep -qF "$NONE_BEFORE" "$file"; then
        rm -f "$file"
        say "$file: deleted, there was none before"
    else
        restore_without_original
    fi
    fact changed yes
}

restore_without_original() {
    others=no
    for server in $(nameservers_in "$file"); do
        is_own "$server" || others=yes
    done
    [ "$others" = yes ] ||
        fail "$original is lost and $file names no other nameserver: write the site's into it"
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
            '#'* | "nameserver $address") ;;
            *) printf '%s\n' "$line" ;;
        esac
    done < "$file" > "$new"
    replace "$new" "$file"
    warn "$original was lost: $file is what is left without codns"
}

status() {
    if is_ours; then
        [ "$(nameservers_in "$file")" != "$address" ] || only=yes
        fact state installed
        say "$file: codns is installed"
        if there "$original"; then
            say "the original is in $original"
            tell_status_link "$original"
        fi
    else
        fact state not-installed
        say "$file: codns is not installed"
        there "$original" && say "it was, but somebody else has written the file since"
        tell_status_link "$file"
    fi
    for server in $(nameservers_in "$(content_of "$file")"); do
        fact nameserver "$server"
        [ "$facts" = yes ] || say "nameserver $server"
    done
    if there "$original"; then fact original "$original"; fi
    warnings
    is_ours
}

tell_status_link() {
    if [ -L "$1" ]; then
        fact link "$(readlink "$1")"
        say "$1 is a link to $(readlink "$1")"
    fi
    who=$(keeper_of "$1")
    fact keeper "$who"
}

# -- who else has to do with the file ---------------------------------------------------------------

warnings() {
    base=$(base_of)
    if [ -d "$root/run/NetworkManager" ] && ! manager_is_told; then
        warn "NetworkManager rewrites a plain resolv.conf when the network changes: \
[main] dns=none in /etc/NetworkManager/conf.d/codns.conf keeps it away"
    fi
    case $(keeper_of "$base") in
        dhcpcd)
            warn "dhcpcd rewrites the file with each lease: \
nohook resolv.conf in /etc/dhcpcd.conf keeps it away"
            ;;
        resolvconf)
            [ -L "$base" ] || warn "resolvconf rewrites the file: remove it, or give it \
127.0.0.1 as the first nameserver instead of this"
            ;;
    esac
    if there "$root/run/docker.sock" || there "$root/run/docker.pid"; then
        warn_of_docker
    fi
    if [ -d "$root/var/lib/kubelet" ]; then
        warn "kubelet copies the file into pods, where 127.0.0.1 is the pod itself: \
set resolvConf in its configuration to a file with the site's nameservers"
    fi
    if is_musl && [ "$only" = no ]; then
        warn "musl asks all nameservers at once, so codns would win nothing: --only-localhost"
    fi
}

warn_of_docker() {
    if [ "$only" = yes ]; then
        warn "Docker leaves localhost out of the copy it gives containers, and with nothing else \
in it takes public nameservers: set dns in /etc/docker/daemon.json"
    else
        warn "Docker leaves localhost out of the copy it gives containers: \
they go on asking the original nameservers"
    fi
}

manager_is_told() {
    grep -Eqs '^ *(dns *= *none|rc-manager *= *unmanaged) *$' \
        "$root/etc/NetworkManager/NetworkManager.conf" \
        "$root"/etc/NetworkManager/conf.d/*.conf "$root"/usr/lib/NetworkManager/conf.d/*.conf
}

is_musl() {
    for loader in "$root"/lib/ld-linux*.so* "$root"/lib64/ld-linux*.so*; do
        [ -e "$loader" ] && return 1
    done
    for loader in "$root"/lib/ld-musl-*.so.1; do
        [ -e "$loader" ] && return 0
    done
    return 1
}

fact file "$file"
"$action"
