#!/usr/bin/env bash
# Shows the main job in a minute, on the embedded broker: a generator and a real log file of this machine flow through
# transforms into files; then a plugin is dropped in while all of it runs, and its records appear. Ctrl-C at any time
# leaves nothing behind.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

target=${CARGO_TARGET_DIR:-target}
sandbar=$target/debug/sandbar
built=$target/wasm32-wasip1/release
room=$(mktemp -d "${TMPDIR:-/tmp}/sandbar-demo.XXXXXX")
mkdir "$room/plugins" "$room/out"
host=

cleanup() {
    trap - EXIT INT TERM
    if [[ -n $host ]]; then
        # The host drains by itself on Ctrl-C too; a second signal would cut that short.
        kill -TERM "$host" 2>/dev/null || true
        wait "$host" 2>/dev/null || true
    fi
    rm -rf "$room"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Puts a file into the watched folder at once, as a careful user would: write beside it, then rename.
drop() { # NAME, content on standard input
    cat >"$room/plugins/.$1" && mv "$room/plugins/.$1" "$room/plugins/$1"
}

plugin() { # NAME
    drop "$1.wasm" <"$built/$1.wasm"
}

connector() { # NAME, the inside of "config" on standard input
    printf '{"name": "%s", "config": {\n%s\n}}\n' "$1" "$(cat)" | drop "$1.json"
}

topic() { "$sandbar" topic "$@" --data "$room/data"; }

# Waits for a condition, a minute at most.
until_true() { # WHAT, COMMAND...
    local what=$1 tries=600
    shift
    until "$@"; do
        kill -0 "$host" 2>/dev/null || die "the host ended"
        ((tries-- > 0)) || die "$what: not within a minute"
        sleep 0.1
    done
}

lines_at_least() { # FILE, COUNT
    [[ -f $1 ]] && (($(wc -l <"$1") >= $2))
}

log_file() {
    local file
    for file in /var/log/syslog /var/log/messages /var/log/dpkg.log /var/log/alternatives.log /var/log/bootstrap.log; do
        if [[ -s $file && -r $file ]]; then
            echo "$file"
            return
        fi
    done
    # A machine without a readable log: the list of what is installed is real text as well.
    dpkg-query --list >"$room/installed.log" 2>/dev/null || ls -lR /etc >"$room/installed.log" 2>/dev/null || true
    echo "$room/installed.log"
}

log=$(log_file)
say "the log file: $log ($(wc -l <"$log") lines)"

for name in datagen file_source json_transform word_count file_sink; do plugin "$name"; done
connector clicks <<EOF
  "connector.class": "datagen",
  "rate": 2000,
  "topic": "clicks",
  "key": "{{pick ann bob cy}}",
  "template": "{\"n\": \"{{seq}}\", \"email\": \"{{pick ann bob cy}}@example.org\", \"price\": \"{{int 1 100}}\"}"
EOF
connector clean-clicks <<EOF
  "connector.class": "json-transform",
  "topics": "clicks",
  "topic": "clean-clicks",
  "operations": "[{\"op\": \"mask\", \"field\": \"email\"}, {\"op\": \"filter\", \"field\": \"price\", \"gt\": 50}]"
EOF
connector clicks-to-file <<EOF
  "connector.class": "file-sink",
  "topics": "clean-clicks",
  "path": "$room/out/clicks.jsonl",
  "sandbox.fs.write": "$room/out"
EOF
connector log-lines <<EOF
  "connector.class": "file-source",
  "path": "$log",
  "topic": "log-lines",
  "sandbox.fs.read": "$(dirname "$log")"
EOF
connector log-words <<EOF
  "connector.class": "word-count",
  "topics": "log-lines",
  "topic": "log-words"
EOF
connector words-to-file <<EOF
  "connector.class": "file-sink",
  "topics": "log-words",
  "path": "$room/out/words.jsonl",
  "sandbox.fs.write": "$room/out"
EOF

say "starting the host on a folder with five plugins and six connectors"
"$sandbar" run --plugins "$room/plugins" --data "$room/data" --listen 127.0.0.1:0 --log-format plain &
host=$!
until_true "clicks in a file" lines_at_least "$room/out/clicks.jsonl" 2000
until_true "words in a file" lines_at_least "$room/out/words.jsonl" 100

say "generated, masked, filtered, written: the last of $(wc -l <"$room/out/clicks.jsonl") lines of clicks.jsonl"
tail -n 3 "$room/out/clicks.jsonl"
say "words of $log, counted with state: the last of $(wc -l <"$room/out/words.jsonl") lines of words.jsonl"
tail -n 3 "$room/out/words.jsonl"

say "dropping a plugin into the running host: shout.wasm, and a connector that uses it"
connector loud-clicks <<EOF
  "connector.class": "shout",
  "topics": "clean-clicks",
  "topic": "loud-clicks"
EOF
plugin shout
has_loud() { topic list --json 2>/dev/null | grep -q '"loud-clicks"'; }
until_true "the dropped plugin's topic" has_loud
say "its records"
topic read loud-clicks --count 3

say "the topics of the embedded broker"
topic list
say "stopping: everything taken up is finished and committed"
kill -TERM "$host"
wait "$host" || die "the host did not stop cleanly"
host=
say "done; your own: $sandbar run --plugins DIR, and drop plugins and definitions into DIR"
