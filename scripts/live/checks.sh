# Sourced by the live tests: runs checks one by one, and notes what became of each.
# shellcheck shell=bash

# note <ok|FAIL|cannot> <what>
note() { printf '%-8s%s\n' "$1" "$2" | tee -a "$LIVE_RESULTS"; }

# check <what> <function> [argument...]: runs it in a shell of its own that ends at the first command that fails. What it
# writes is shown if it fails.
check() {
  local what=$1 log status started=$SECONDS
  shift
  log=$(mktemp)
  set +e
  (
    set -e
    "$@"
  ) >"$log" 2>&1
  status=$?
  set -e
  if [ $status = 0 ]; then
    note ok "$what ($((SECONDS - started)) s)"
  else
    note FAIL "$what"
    sed 's/^/      /' "$log" | tail -n 25
  fi
  rm -f "$log"
}

# within <seconds> <command...>: until the command succeeds.
within() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $end ]; then
      echo "did not come true in time: $*"
      return 1
    fi
    sleep 0.2
  done
}

# equal <wanted> <found> <what>
equal() {
  [ "$1" = "$2" ] && return
  echo "$3: $1 was expected, and $2 found"
  return 1
}

# as_root_on_debian <part>: leaves, with a note, where it is not.
as_root_on_debian() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    note cannot "$1: needs root, and Debian's packages"
    exit
  fi
  need mmdebstrap mmdebstrap mmdebstrap mmdebstrap
}

# debian <release>: data/live/<release>.tar, a Debian with every server, made once: 600 MB, a minute or two.
debian() {
  local tar=data/live/$1.tar unfinished=data/live/unfinished-$1.tar
  local packages=systemd,systemd-sysv,dbus,redis-server,postgresql,postfix,curl,procps,iproute2,sudo,python3-minimal
  [ -s "$tar" ] && return
  say "Making a Debian $1 ..."
  mmdebstrap --quiet --variant=minbase --include=$packages "$1" "$unfinished" >"data/live/$1.log" 2>&1 || return
  mv "$unfinished" "$tar"
}
