#!/bin/sh
# Runs the suite of the Python worker SDK over a real nats-server. Arguments go to pytest.
#
# It needs Python 3.10 or newer with its venv module, and a package registry that pip can reach (as pip is configured on
# this machine), from which nats-py and pytest go into .tools/python. Where one of these is not there it says so in one
# line and ends with 0: nobody needs Python to work on the rest. Where they are, a test that fails is a failure. The queues
# that there are guides for are installed as well; without them only the tests of their guides are skipped.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
venv=$root/.tools/python
wanted='nats-py>=2.9,<3 pytest>=8,<10'
# For the guides: the queues, and what stands in for Redis.
guides='celery>=5.4,<6 rq>=2,<4 dramatiq>=2,<3 fakeredis[lua]>=2.26,<3'

skip() {
  echo "== tests of sdk/python are skipped: $*"
  exit 0
}

command -v python3 >/dev/null 2>&1 || skip 'there is no python3 on this machine'
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
  skip "$(python3 --version 2>&1 || echo python3) is older than 3.10"

# What was installed, and for which Python: another one makes the folder anew.
mark="$(python3 -c 'import sys; print(sys.version, sys.executable)') $wanted $guides"
if [ "$(cat "$venv/.installed" 2>/dev/null || :)" != "$mark" ]; then
  mkdir -p "$root/.tools"
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  rm -rf "$venv"
  if ! python3 -m venv "$venv" >"$log" 2>&1; then
    rm -rf "$venv"
    skip 'this Python has no working venv module (Debian: the package python3-venv)'
  fi
  echo '== downloading nats-py, pytest, and the queues that there are guides for (about 12 MB) into .tools/python'
  # shellcheck disable=SC2086 # two requirements
  if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --retries 1 --timeout 15 \
    $wanted >"$log" 2>&1; then
    rm -rf "$venv"
    skip "pip cannot install nats-py and pytest from a registry: $(grep -v '^$' "$log" | tail -n 1)"
  fi
  # shellcheck disable=SC2086 # as above
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --retries 1 --timeout 15 \
    $guides >"$log" 2>&1 ||
    echo "== the guides for queues are not tested: pip cannot install them: $(grep -v '^$' "$log" | tail -n 1)"
  printf '%s\n' "$mark" >"$venv/.installed"
fi

NATS_SERVER_BIN=$("$root/scripts/nats-server.sh")
export NATS_SERVER_BIN
unset NATS_URL
echo "== tests of sdk/python on $("$venv/bin/python" --version), nats-py $("$venv/bin/python" -c 'import nats.aio.client as c; print(c.__version__)'), $("$NATS_SERVER_BIN" -v)"
cd "$root/sdk/python"
# No __pycache__ in the sources: the build looks for changes there.
PYTHONDONTWRITEBYTECODE=1 exec "$venv/bin/python" -m pytest -q "$@"
