#!/usr/bin/env bash
# Walks through the whole story of audited packages: `walkthrough.sh http://127.0.0.1:3000`, on a registry that nobody has used.
# Ends with 1 if an answer was not the expected one. The records are on the server's standard output.
set -u

base=${1:-http://127.0.0.1:3000}/api/v4
cli=$base/projects/acme%2Ftools%2Fcli
scripts=$base/projects/jane%2Fscripts
failed=0
body=$(mktemp)
trap 'rm -f "$body"' EXIT

# call STATUS TOKEN METHOD URL [curl arguments…]: the answer's body is left in $body.
call() {
  local expected=$1 token=$2 method=$3 url=$4 status
  shift 4
  status=$(curl -sS -o "$body" -w '%{http_code}' --max-time 60 -X "$method" \
    -H "Authorization: Bearer $token" "$@" "$url")
  printf '%s %-6s %s (%s)\n' "$status" "$method" "${url#"$base"}" "$token"
  if [ "$status" != "$expected" ]; then
    printf '    expected %s, got: %s\n' "$expected" "$(head -c 400 "$body")"
    failed=1
  fi
}

# says TEXT: what the last answer has to hold.
says() {
  grep -qF "$1" "$body" || { printf '    expected %s in: %s\n' "$1" "$(head -c 400 "$body")"; failed=1; }
}

# audit TOKEN true|false|null WHAT: switches auditing of a group or project.
audit() {
  call 200 "$1" PUT "$base/$3/audit" -H 'Content-Type: application/json' --data-binary "{\"enabled\":$2}"
}

# upload TOKEN PROJECT VERSION
upload() {
  call 201 "$1" PUT "$2/packages/generic/tool/$3/tool.tar.gz" -H 'Content-Type: application/octet-stream' --data-binary "$3"
}

echo '# off at first: nothing of this is recorded'
call 200 pat-jane GET "$base/groups/acme/audit"
says '"enabled":false'
upload pat-jane "$cli" 0.1.0

echo '# on for a group, which holds for what is below it'
audit pat-jane true groups/acme
call 200 pat-jane GET "$base/groups/acme%2Ftools/audit"
says '"enabled":true,"inherited":true'
upload deploy-ci "$cli" 1.0.0
upload job-4711 "$cli" 1.0.0
call 200 key-build GET "$cli/packages/generic/tool/1.0.0/tool.tar.gz"
says '1.0.0'

echo '# who last changed it, with which key'
call 200 pat-jane GET "$cli/packages/2/last_change"
says '"what":"updated"'
says '"credential":"job acme/tools/cli publish"'
call 200 pat-jane GET "$cli/packages"
says '"version":"1.0.0"'

echo '# off for the subgroup, on for its project, and back'
audit pat-jane false groups/acme%2Ftools
upload deploy-ci "$cli" 2.0.0
audit job-4711 true projects/acme%2Ftools%2Fcli
upload deploy-ci "$cli" 3.0.0
audit pat-jane null projects/acme%2Ftools%2Fcli
audit pat-jane null groups/acme%2Ftools
upload pat-jane "$cli" 4.0.0

echo '# a project of a user is a scope by itself'
upload pat-jane "$scripts" 1.0.0
audit pat-jane true projects/jane%2Fscripts
upload pat-jane "$scripts" 1.1.0

echo '# deleted, by a person and by the retention policy'
call 204 pat-jane DELETE "$cli/packages/5"
call 200 pat-jane GET "$cli/packages/5/last_change"
says '"what":"deleted"'
says '"credential":"personal token jane laptop"'
call 200 pat-jane POST "$cli/packages/cleanup"
says '{"deleted":[1,2,3]}'
call 200 pat-jane GET "$cli/packages/1/last_change"
says '"how":"retention_policy"'

echo '# refused'
call 401 stolen PUT "$cli/packages/generic/tool/9.0.0/tool.tar.gz" --data-binary x
call 404 pat-jane GET "$base/projects/acme%2Fnothing/packages"
call 404 pat-jane DELETE "$cli/packages/99"
call 404 pat-jane PUT "$base/groups/acme-evil/audit" -H 'Content-Type: application/json' --data-binary '{"enabled":true}'
call 400 pat-jane PUT "$base/groups/acme/audit" -H 'Content-Type: application/json' --data-binary '{"enabled":"yes"}'

exit $failed
