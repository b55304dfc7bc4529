#!/bin/sh
# Installs the programs that the interop tests drive, where it can, and says at the end what is missing and why.
#
# A program or file that is there is left alone; each other one is installed by itself, because Debian's npm
# conflicts with other nodejs packages and one refusal must not take the rest with it. A policy-rc.d that answers
# 101 keeps packages from starting their services. With CI set, anything missing is a failure.
set -u

# Whether there is a program of this name, or a file where it is a path.
have() {
    case "$1" in
    /*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

# program:package
wanted="chromium:chromium firefox-esr:firefox-esr tshark:tshark sngrep:sngrep prometheus:prometheus promtool:prometheus janus:janus janus-pp-rec:janus-tools node:nodejs npm:npm ip:iproute2 kamailio:kamailio-sqlite-modules rabbitmq-server:rabbitmq-server mosquitto:mosquitto mariadbd:mariadb-server pg_ctlcluster:postgresql turnserver:coturn iptables:iptables /usr/share/janus/demos/echotest.html:janus-demos"

missing=""
for pair in $wanted; do
    have "${pair%%:*}" || missing="$missing $pair"
done

left_out=""
if [ -n "$missing" ]; then
    if [ "$(id -u)" -ne 0 ]; then
        for pair in $missing; do left_out="$left_out
  ${pair%%:*}: not installed, and only root can run apt-get install ${pair##*:}"; done
    elif ! command -v apt-get >/dev/null 2>&1; then
        for pair in $missing; do left_out="$left_out
  ${pair%%:*}: not installed, and this system has no apt-get"; done
    else
        export DEBIAN_FRONTEND=noninteractive
        policy=/usr/sbin/policy-rc.d
        made_policy=""
        if [ ! -e "$policy" ]; then
            printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made_policy=yes
        fi
        apt-get update -q >/dev/null 2>&1 || echo "apt-get update failed; trying with the lists there are" >&2
        for pair in $missing; do
            program=${pair%%:*} package=${pair##*:}
            have "$program" && continue
            log=$(mktemp)
            if ! apt-get install -y -q --no-install-recommends "$package" >"$log" 2>&1 \
                || ! have "$program"; then
                left_out="$left_out
  $program: apt-get install $package did not give it: $(grep -m1 '^E:' "$log" || tail -n1 "$log")"
            fi
            rm -f "$log"
        done
        [ -n "$made_policy" ] && rm -f "$policy"
    fi
fi

if [ -n "$left_out" ]; then
    echo "Interop programs left out:$left_out" >&2
    [ -n "${CI:-}" ] && exit 1
fi
exit 0
