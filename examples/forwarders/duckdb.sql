-- Searches on files of audit lines: `duckdb -f duckdb.sql`, in the folder of audit.log. All columns are named, because DuckDB
-- would guess types from the first lines; objects are JSON, because their shapes differ from event to event.

-- For files with other lines too, such as a whole standard output: ignore_errors = true, and WHERE isAuditLog.
CREATE OR REPLACE VIEW delivered AS
SELECT * FROM read_json('audit.log*', format = 'newline_delimited', maximum_object_size = 1048576, columns = {
  timestamp: 'TIMESTAMPTZ', level: 'VARCHAR', isAuditLog: 'BOOLEAN', schema: 'VARCHAR', eventName: 'VARCHAR',
  eventKind: 'VARCHAR', logType: 'VARCHAR', stage: 'VARCHAR', status: 'VARCHAR', outcome: 'VARCHAR', message: 'VARCHAR',
  auditId: 'UUID', instance: 'VARCHAR', seq: 'BIGINT', startedAt: 'TIMESTAMPTZ', durationMs: 'DOUBLE',
  requestId: 'VARCHAR', traceId: 'VARCHAR', spanId: 'VARCHAR', service: 'VARCHAR', plugin: 'VARCHAR',
  component: 'VARCHAR', host: 'VARCHAR', actor: 'JSON', object: 'JSON', target: 'JSON', scope: 'JSON',
  project: 'VARCHAR', repository: 'VARCHAR', namespace: 'VARCHAR', context: 'VARCHAR', meta: 'JSON', errors: 'JSON',
  response: 'JSON', request: 'JSON'
});

-- Each record once: what a forwarder delivered twice has the same `instance` and `seq`.
CREATE OR REPLACE VIEW records AS
SELECT DISTINCT ON (instance, seq) * FROM delivered ORDER BY instance, seq;

-- How many lines were delivered more than once.
SELECT count(*) - count(DISTINCT (instance, seq)) AS repeated FROM delivered;

-- What is missing, as ranges: a gap in `seq` is a loss on the way. It has no other trace.
SELECT instance, previous + 1 AS missing_from, seq - 1 AS missing_to, seq - previous - 1 AS missing,
       since AS after, timestamp AS before
FROM (SELECT instance, seq, timestamp, lag(seq, 1, 0) OVER run AS previous, lag(timestamp) OVER run AS since
      FROM records WINDOW run AS (PARTITION BY instance ORDER BY seq))
WHERE seq > previous + 1 ORDER BY timestamp;

-- Runs without an end: killed, still running, or their last lines are missing.
SELECT instance, any_value(host) AS host, min(timestamp) AS began, max(timestamp) AS last_seen, max(seq) AS last_seq
FROM records GROUP BY instance HAVING NOT bool_or(eventName = 'AuditStopped') ORDER BY last_seen;

-- What the library itself lost or refused, and says so.
SELECT timestamp, host, eventName, meta->>'$.count' AS count, meta->>'$.reason' AS reason
FROM records WHERE eventName IN ('AuditRecordsLost', 'AuditRequestsRefused') ORDER BY timestamp;

-- Initiations without a completion: the process was killed in between, the completion is missing, or the work goes on.
-- Of events that have completions: some, such as ScaffolderTaskStepIteration, are initiations only.
SELECT timestamp, eventName, auditId, actor->>'$.actorId' AS actor, message
FROM records initiation
WHERE stage = 'initiation'
  AND eventName IN (SELECT eventName FROM records WHERE stage = 'completion')
  AND NOT EXISTS (FROM records completion WHERE completion.auditId = initiation.auditId AND completion.stage = 'completion')
ORDER BY timestamp;

-- Who did what.
SELECT timestamp, actor->>'$.actorId' AS actor, actor->>'$.ip' AS ip, eventName, status, message
FROM records WHERE stage = 'completion' AND eventName NOT LIKE 'Audit%' ORDER BY timestamp DESC LIMIT 20;

-- Failures by actor and event, and how they ended.
SELECT actor->>'$.actorId' AS actor, eventName, outcome, response->>'$.status' AS http, count(*) AS times
FROM records WHERE status = 'failed' AND stage = 'completion' GROUP BY ALL ORDER BY times DESC LIMIT 20;

-- All records of one object: here a template.
SELECT timestamp, eventName, stage, status, actor->>'$.actorId' AS actor, meta->>'$.taskId' AS task
FROM records WHERE meta->>'$.templateRef' = 'template:default/example-template' ORDER BY timestamp, seq LIMIT 20;

-- Addresses from which unknown clients were refused.
SELECT actor->>'$.ip' AS ip, count(*) AS times, min(timestamp) AS first, max(timestamp) AS last
FROM records
WHERE actor->>'$.actorId' IS NULL AND stage = 'completion' AND (response->>'$.status')::INT IN (401, 403)
GROUP BY ip ORDER BY times DESC LIMIT 20;
