//! Runs the steps of a template: for real in the background, or dry within a request.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tower_audit::presets::developer_hub::events;
use tower_audit::{ActivityBuilder, Actor, Failure};

use crate::hub::{Hub, lock};
use crate::scaffolder::actions::{Action, ActionError, Mode};
use crate::scaffolder::expression;
use crate::scaffolder::store::{Status, StopReason, Task};
use crate::scaffolder::template::{Step, Template};

const MAX_ITERATIONS: usize = 100;
const MAX_DELAY: Duration = Duration::from_secs(60);

/// Why the steps did not reach their end.
#[derive(Debug)]
pub(crate) enum StepsError {
    Stopped(StopReason),
    Step {
        id: String,
        source: ActionError,
    },
    /// The audit log has no room for what would have been done next.
    Unrecorded(tower_audit::Error),
}

impl StepsError {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Stopped(_) => "CancelledError",
            Self::Step { source, .. } => source.name,
            Self::Unrecorded(_) => "ServiceUnavailableError",
        }
    }
}

impl fmt::Display for StepsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped(reason) => f.write_str(reason.message()),
            Self::Step { id, source } => write!(f, "Step {id} failed: {source}"),
            Self::Unrecorded(error) => error.fmt(f),
        }
    }
}

impl Error for StepsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Stopped(_) => None,
            Self::Step { source, .. } => Some(source),
            Self::Unrecorded(error) => Some(error),
        }
    }
}

impl From<tower_audit::Error> for StepsError {
    fn from(error: tower_audit::Error) -> Self {
        Self::Unrecorded(error)
    }
}

/// Runs a real task from its first event to its last.
pub(crate) async fn run_task(hub: Arc<Hub>, task: Arc<Task>) {
    task.begin(&format!("Starting up task with {} steps", task.template.steps.len()));
    let mut run = Run::of_task(&hub, &task);
    let execution = run.event(events::SCAFFOLDER_TASK_EXECUTION);
    let result = audited(execution, run_steps(&mut run, &task.template)).await;

    match &result {
        Ok(output) => task.complete(Status::Completed, json!({ "output": output })),
        Err(error) => {
            let status = if matches!(error, StepsError::Stopped(_)) { Status::Cancelled } else { Status::Failed };
            let message = error.to_string();
            tracing::warn!(task = task.id, error = message, "the task did not complete");
            task.complete(status, json!({"error": {"name": error.name(), "message": message}}));
        }
    }
}

/// Runs the steps of a template without a task; returns how it ended, and the log.
pub(crate) async fn dry_run(
    hub: &Hub,
    template: &Template,
    values: &Value,
    secrets: &Map<String, Value>,
) -> (Result<Value, StepsError>, Vec<Value>) {
    let mut run = Run::dry(hub, template, values, secrets);
    let result = run_steps(&mut run, template).await;
    (result, run.into_log())
}

async fn run_steps(run: &mut Run<'_>, template: &Template) -> Result<Value, StepsError> {
    for step in &template.steps {
        if run.condition_holds(step)? {
            let output = run_step(run, step).await?;
            run.context["steps"][&step.id] = json!({ "output": output });
        } else {
            skip_step(run, step).await?;
        }
    }
    run.close()?;
    Ok(expression::render(&template.output, &run.context).unwrap_or_default())
}

/// An event of a task, which its secrets cannot get into.
pub(crate) fn event_of(hub: &Hub, name: &'static str, task: &Task) -> ActivityBuilder {
    event(hub, name, &task.template, &task.secrets).meta("taskId", task.id.as_str())
}

fn event(hub: &Hub, name: &'static str, template: &Template, secrets: &Map<String, Value>) -> ActivityBuilder {
    let event = hub.auditor.begin(name).actor(Actor::service("service:scaffolder-backend"));
    let event = event.meta("templateRef", template.reference.to_string());
    secrets.values().filter_map(Value::as_str).fold(event, ActivityBuilder::secret)
}

/// Work as an event of the audit log. What cannot be recorded is not done.
async fn audited<T>(
    event: ActivityBuilder,
    work: impl Future<Output = Result<T, StepsError>>,
) -> Result<T, StepsError> {
    let activity = event.await?;
    let result = work.await;
    match &result {
        Ok(_) => activity.succeed(),
        Err(error) => activity.fail_with(Failure::new(error.name(), error.to_string())),
    }
    result
}

async fn run_step(run: &mut Run<'_>, step: &Step) -> Result<Value, StepsError> {
    audited(run.step_event(events::SCAFFOLDER_TASK_STEP_EXECUTION, step), run_all_of_step(run, step)).await
}

/// Runs one step, with all its iterations.
async fn run_all_of_step(run: &mut Run<'_>, step: &Step) -> Result<Value, StepsError> {
    run.log(step, "processing", &format!("Beginning step {}", step.name));
    let result = match &step.each {
        None => perform(run, step).await,
        Some(each) => iterate(run, step, each).await,
    };
    let result = result.map_err(|error| run.without_secrets(error));
    match &result {
        Ok(_) => run.log(step, "completed", &format!("Finished step {}", step.name)),
        Err(StepsError::Stopped(reason)) => run.log(step, "cancelled", reason.message()),
        Err(error) => run.log(step, "failed", &error.to_string()),
    }
    result
}

/// Leaves out a step whose `if` does not hold.
async fn skip_step(run: &Run<'_>, step: &Step) -> Result<(), StepsError> {
    run.step_event(events::SCAFFOLDER_TASK_STEP_SKIP, step).emit().await?;
    run.log(step, "skipped", &format!("Skipping step {} because its if condition was false", step.id));
    Ok(())
}

async fn iterate(run: &mut Run<'_>, step: &Step, each: &Value) -> Result<Value, StepsError> {
    let items = match run.render(step, each)? {
        Value::Array(items) => items.into_iter().enumerate().map(|(index, value)| (json!(index), value)).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (json!(key), value)).collect(),
        _ => Vec::new(),
    };
    if items.len() > MAX_ITERATIONS {
        return Err(failed(step, "InputError", format!("each has more than {MAX_ITERATIONS} values")));
    }
    let mut outputs = Vec::with_capacity(items.len());
    for (key, value) in items {
        outputs.push(run_iteration(run, step, key, value).await?);
    }
    Ok(Value::Array(outputs))
}

/// Runs one iteration of a step that has an `each`.
async fn run_iteration(run: &mut Run<'_>, step: &Step, key: Value, value: Value) -> Result<Value, StepsError> {
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let iteration = run.step_event(events::SCAFFOLDER_TASK_STEP_ITERATION, step);
    iteration.meta("each", json!({"index": key, "value": run.hide_secrets(&shown)})).emit().await?;
    run.log(step, "processing", &format!("Running step each: {{key: {key}, value: {shown}}}"));
    run.context["each"] = json!({"key": key, "value": value});
    let result = perform(run, step).await;
    run.context["each"] = Value::Null;
    result
}

/// Runs the action of a step once, for as long as the task is told to take, unless it is stopped.
async fn perform(run: &Run<'_>, step: &Step) -> Result<Value, StepsError> {
    tokio::select! {
        biased;
        reason = run.stopped() => return Err(StepsError::Stopped(reason)),
        () = tokio::time::sleep(run.delay) => {}
    }

    let action = Action::named(&step.action).map_err(|source| StepsError::Step { id: step.id.clone(), source })?;
    if run.mode == Mode::Dry && !action.supports_dry_run {
        run.log(step, "processing", &format!("Skipping because {} does not support dry-run", action.id));
        return Ok(action.example_output());
    }
    let input = run.render(step, &step.input)?;
    if let Some(message) = input["message"].as_str() {
        run.log(step, "processing", message);
    }
    action.run(run.hub, &input, run.mode).map_err(|source| StepsError::Step { id: step.id.clone(), source })
}

/// What the steps of one task, or of one dry run, share.
pub(crate) struct Run<'a> {
    hub: &'a Hub,
    mode: Mode,
    template: &'a Template,
    secrets: &'a Map<String, Value>,
    log: Log<'a>,
    delay: Duration,
    /// What expressions can name.
    context: Value,
}

enum Log<'a> {
    Task(&'a Task),
    Lines(Mutex<Vec<Value>>),
}

impl<'a> Run<'a> {
    fn of_task(hub: &'a Hub, task: &'a Task) -> Self {
        let delay = Duration::from_millis(task.values["delayMs"].as_u64().unwrap_or_default()).min(MAX_DELAY);
        let context = context(&task.values, &task.secrets);
        Self {
            hub,
            mode: Mode::Real,
            template: &task.template,
            secrets: &task.secrets,
            log: Log::Task(task),
            delay,
            context,
        }
    }

    fn dry(hub: &'a Hub, template: &'a Template, values: &Value, secrets: &'a Map<String, Value>) -> Self {
        let context = context(values, secrets);
        let log = Log::Lines(Mutex::default());
        Self { hub, mode: Mode::Dry, template, secrets, log, delay: Duration::ZERO, context }
    }

    /// An event of this run, of the task that it is or flagged as a dry one.
    fn event(&self, name: &'static str) -> ActivityBuilder {
        match self.log {
            Log::Task(task) => event_of(self.hub, name, task),
            Log::Lines(_) => {
                event(self.hub, name, self.template, self.secrets).meta("isDryLog", true).meta("isDryRun", true)
            }
        }
    }

    fn step_event(&self, name: &'static str, step: &Step) -> ActivityBuilder {
        let event = self.event(name).meta("stepId", step.id.as_str());
        event.meta("stepName", step.name.as_str()).meta("stepAction", step.action.as_str())
    }

    /// A dry run has no task.
    fn task_id(&self) -> Option<&str> {
        match self.log {
            Log::Task(task) => Some(&task.id),
            Log::Lines(_) => None,
        }
    }

    fn condition_holds(&self, step: &Step) -> Result<bool, StepsError> {
        match &step.condition {
            None => Ok(true),
            Some(condition) => self.render(step, condition).map(|value| expression::holds(&value)),
        }
    }

    fn render(&self, step: &Step, value: &Value) -> Result<Value, StepsError> {
        expression::render(value, &self.context)
            .ok_or_else(|| failed(step, "InputError", "its input grows beyond 1 MiB".to_owned()))
    }

    fn log(&self, step: &Step, status: &str, message: &str) {
        let message = self.hide_secrets(message);
        tracing::debug!(task = self.task_id(), step = step.id, status, message);
        let body = json!({"stepId": step.id, "status": status, "message": message});
        match &self.log {
            Log::Task(task) => task.log(body),
            Log::Lines(lines) => lock(lines).push(json!({ "body": body })),
        }
    }

    /// A step may well print what it was given. A secret of asterisks alone would only make the text grow.
    fn hide_secrets(&self, message: &str) -> String {
        let secrets = self.secrets.values().filter_map(Value::as_str).filter(|secret| secret.contains(|c| c != '*'));
        secrets.fold(message.to_owned(), |message, secret| message.replace(secret, "***"))
    }

    fn without_secrets(&self, error: StepsError) -> StepsError {
        match error {
            StepsError::Step { id, source: ActionError { name, message } } => {
                StepsError::Step { id, source: ActionError { name, message: self.hide_secrets(&message) } }
            }
            other => other,
        }
    }

    fn into_log(self) -> Vec<Value> {
        match self.log {
            Log::Task(_) => Vec::new(),
            Log::Lines(lines) => lock(&lines).drain(..).collect(),
        }
    }

    fn close(&self) -> Result<(), StepsError> {
        match self.log {
            Log::Task(task) => task.close().map_err(StepsError::Stopped),
            Log::Lines(_) => Ok(()),
        }
    }

    async fn stopped(&self) -> StopReason {
        let task_stops = async {
            match self.log {
                Log::Task(task) => task.stopped().await,
                Log::Lines(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            reason = task_stops => reason,
            () = self.hub.background.stopped() => StopReason::Shutdown,
        }
    }
}

fn context(values: &Value, secrets: &Map<String, Value>) -> Value {
    json!({"parameters": values, "secrets": secrets, "steps": {}})
}

fn failed(step: &Step, name: &'static str, message: String) -> StepsError {
    StepsError::Step { id: step.id.clone(), source: ActionError { name, message } }
}
