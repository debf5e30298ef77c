#!/usr/bin/env bash
# Drives every route of the example once and prints what came back: `walkthrough.sh http://127.0.0.1:7007`.
# Ends with 1 if an answer was not the expected one.
set -u

base=${1:-http://127.0.0.1:7007}
scaffolder=$base/api/scaffolder
catalog=$base/api/catalog
token=${TOKEN:-guest}
failed=0
body=$(mktemp)
trap 'rm -f "$body"' EXIT

# call STATUS METHOD URL [curl arguments…]: the answer's body is left in $body.
call() {
  local expected=$1 method=$2 url=$3 status
  shift 3
  status=$(curl -sS -o "$body" -w '%{http_code}' --max-time 60 -X "$method" \
    -H "Authorization: Bearer $token" "$@" "$url")
  printf '%s %-6s %s\n' "$status" "$method" "${url#"$base"}"
  if [ "$status" != "$expected" ]; then
    printf '    expected %s, got: %s\n' "$expected" "$(head -c 400 "$body")"
    failed=1
  fi
}

# send STATUS METHOD URL JSON
send() {
  call "$1" "$2" "$3" -H 'Content-Type: application/json' --data-binary "$4"
}

# The first string under that key in the last answer.
field() {
  grep -o "\"$1\":\"[^\"]*\"" "$body" | head -n 1 | cut -d '"' -f 4
}

echo '# scaffolder'
call 200 GET "$base/healthz"
call 200 GET "$scaffolder/v2/templates/default/template/example-template/parameter-schema"
call 200 GET "$scaffolder/v2/actions"
send 201 POST "$scaffolder/v2/tasks" \
  '{"templateRef":"template:default/example-template","values":{"name":"walked"},"secrets":{"githubToken":"ghp_walkthrough"}}'
task=$(field id)
call 200 GET "$scaffolder/v2/tasks/$task/eventstream"
grep -q '^event: completion' "$body" || { echo '    the stream has no completion'; failed=1; }
call 200 GET "$scaffolder/v2/tasks/$task/eventstream?after=3"
call 200 GET "$scaffolder/v2/tasks/$task/events"
call 200 GET "$scaffolder/v2/tasks/$task"
[ "$(grep -o '"status":"completed"' "$body")" ] || { echo '    the task did not complete'; failed=1; }
call 200 GET "$scaffolder/v2/tasks"
call 200 GET "$scaffolder/v2/tasks?createdBy=user:development/guest"
send 201 POST "$scaffolder/v2/tasks" \
  '{"templateRef":"template:default/example-template","values":{"name":"slow","delayMs":5000}}'
task=$(field id)
call 200 POST "$scaffolder/v2/tasks/$task/cancel"
send 201 POST "$scaffolder/v2/tasks" \
  '{"templateRef":"template:default/example-template","values":{"name":"not a name","enableDocs":true}}'
task=$(field id)
call 200 GET "$scaffolder/v2/tasks/$task/eventstream"
send 200 POST "$scaffolder/v2/dry-run" '{
  "template": {
    "apiVersion": "scaffolder.backstage.io/v1beta3", "kind": "Template", "metadata": {"name": "draft"},
    "spec": {
      "type": "service",
      "parameters": {"required": ["name"], "properties": {"name": {"type": "string"}}},
      "steps": [
        {"id": "skipped", "action": "debug:log", "if": false},
        {"id": "each", "action": "debug:log", "each": ["a", "b"], "input": {"message": "${{ each.value }}"}},
        {"id": "publish", "action": "publish:github", "input": {"repoUrl": "github.com?owner=acme&repo=draft"}}
      ],
      "output": {"url": "${{ steps.publish.output.remoteUrl }}"}
    }
  },
  "values": {"name": "draft"},
  "secrets": {"githubToken": "ghp_walkthrough"},
  "directoryContents": [{"path": "README.md", "base64Content": "IyBIZWxsbwo="}]
}'

echo '# scaffolder, refused'
send 404 POST "$scaffolder/v2/tasks" '{"templateRef":"template:default/unknown","values":{}}'
send 400 POST "$scaffolder/v2/tasks" '{"templateRef":"template:default/example-template","values":{}}'
send 400 POST "$scaffolder/v2/tasks" '{"templateRef":'
send 400 POST "$scaffolder/v2/dry-run" '{}'
for route in '' /events /eventstream; do call 404 GET "$scaffolder/v2/tasks/unknown$route"; done
call 404 POST "$scaffolder/v2/tasks/unknown/cancel"
call 404 GET "$scaffolder/v2/unknown"
call 405 DELETE "$scaffolder/v2/tasks"
token=stolen call 401 GET "$scaffolder/v2/tasks"

echo '# catalog: entities'
call 200 GET "$catalog/entities?filter=kind=component,metadata.name=example&fields=metadata.name,kind"
call 200 GET "$catalog/entities?limit=2&offset=1&order=desc:metadata.name"
call 200 GET "$catalog/entities/by-query?limit=2&orderField=metadata.name,asc"
call 200 GET "$catalog/entities/by-query?cursor=$(field nextCursor)"
call 200 GET "$catalog/entities/by-uid/0-0"
call 200 GET "$catalog/entities/by-name/component/default/example"
call 200 GET "$catalog/entities/by-name/component/default/example/ancestry"
send 200 POST "$catalog/entities/by-refs" '{"entityRefs":["component:default/example","component:default/unknown"],"fields":["kind"]}'
call 200 GET "$catalog/entity-facets?facet=kind&facet=spec.type"
entity='{"entity":{"apiVersion":"backstage.io/v1alpha1","kind":"Component","metadata":{"name":"x"}},"location":"url:https://github.com/acme/x"}'
for route in /entities/validate /validate-entity; do
  send 200 POST "$catalog$route" "$entity"
  send 400 POST "$catalog$route" '{"entity":{"kind":"Component"},"location":"file:x"}'
done
call 204 DELETE "$catalog/entities/by-uid/0-0"
call 404 DELETE "$catalog/entities/by-uid/0-0"
call 404 GET "$catalog/entities/by-uid/0-0"
# The location still names the entity, so a refresh of the location brings it back.
for route in /entities/refresh /refresh; do
  send 200 POST "$catalog$route" '{"entityRef":"template:default/example-template"}'
  send 404 POST "$catalog$route" '{"entityRef":"component:default/unknown"}'
done
call 200 GET "$catalog/entities/by-uid/0-0"
call 404 GET "$catalog/entities/by-name/component/default/unknown"
call 404 GET "$catalog/entities/by-name/component/default/unknown/ancestry"
call 400 GET "$catalog/entities?limit=many"
call 400 GET "$catalog/entity-facets"

echo '# catalog: locations'
target=https://github.com/acme/walkthrough-$$/blob/main/catalog-info.yaml
location="{\"type\":\"url\",\"target\":\"$target\"}"
send 201 POST "$catalog/locations?dryRun=true" "$location"
send 201 POST "$catalog/locations" "$location"
id=$(field id)
send 409 POST "$catalog/locations" "$location"
send 400 POST "$catalog/locations" '{"type":"file","target":"/etc/passwd"}'
call 200 GET "$catalog/locations"
call 200 GET "$catalog/locations/$id"
call 200 GET "$catalog/locations/by-entity/component/default/walkthrough-$$"
call 200 GET "$catalog/locations/by-entity?entityRef=component:default/walkthrough-$$"
for route in /locations/analyze /analyze-location; do
  send 200 POST "$catalog$route" "{\"location\":$location}"
  send 400 POST "$catalog$route" '{"location":{"type":"url","target":"nowhere"}}'
done
call 204 DELETE "$catalog/locations/$id"
call 404 DELETE "$catalog/locations/$id"
call 404 GET "$catalog/locations/$id"
call 404 GET "$catalog/locations/by-entity/component/default/walkthrough-$$"

exit $failed
