//! `mailer queue status`: whether mails go out, and what the queue holds.

use examhall_core::{ClassBacklog, MailFacts, PriorityBacklog, Timestamp, mail_health};
use examhall_delivery::QueueFacts;
use examhall_queue::Counts;
use serde_json::{Value, json};

use super::output::Answer;
use crate::app::Mailer;

/// A rate that mails wait for: its provider, its name, and seconds until the last one's turn.
struct RateWait {
    provider: String,
    limit: String,
    seconds: u64,
}

pub(super) async fn status(mailer: &Mailer) -> anyhow::Result<Answer> {
    let queue = &mailer.queue;
    let waits = rate_waits(mailer).await?;
    let (counts, oldest) = (queue.counts().await?, queue.oldest_waiting().await?);
    let facts = QueueFacts {
        now: Timestamp::from_millis(queue.now_ms()),
        write_refusal: queue.write_refusal().await?,
        is_paused: queue.is_paused().await?,
        waiting: oldest.iter().map(|one| PriorityBacklog::new(one.priority, one.jobs, one.timestamp)).collect(),
    };
    // The outbox is in the database, which a mailer does not know.
    let facts = mailer.operations.facts(&facts, &[]).await?;
    let workers = queue.workers().await?.len();
    let oldest_at = oldest.iter().filter_map(|one| Timestamp::foreign(one.timestamp)).min();
    Ok(Answer {
        lines: lines(&facts, &counts, workers, oldest_at, &waits),
        json: shown(&facts, &counts, workers, oldest_at, &waits),
    })
}

async fn rate_waits(mailer: &Mailer) -> anyhow::Result<Vec<RateWait>> {
    let mut waits = Vec::new();
    for provider in mailer.handler.transport.providers() {
        let wait = |(limit, left): (String, std::time::Duration)| RateWait {
            provider: provider.name(),
            limit,
            seconds: left.as_secs() + 1,
        };
        waits.extend(provider.waits().await?.into_iter().map(wait));
    }
    Ok(waits)
}

fn lines(
    facts: &MailFacts,
    counts: &Counts,
    workers: usize,
    oldest_at: Option<Timestamp>,
    waits: &[RateWait],
) -> Vec<String> {
    let health = mail_health(facts);
    let mut lines = vec![health.sentence];
    lines.extend((!health.advice.is_empty()).then_some(health.advice));
    lines.push(String::new());
    lines.extend(counts.by_state().map(|(state, count)| format!("{:<12} {count}", state.as_str())));
    lines.push(format!("{:<12} {}", "mailers", facts.mailers.len()));
    lines.push(format!("{:<12} {workers}", "workers"));
    lines.extend(facts.waiting.iter().filter(|one| one.mails() > 0).map(|one| class_line(one, facts.now)));
    lines.extend(oldest_at.map(|at| format!("the oldest one waits since {at}")));
    let next_at = counts.next_due.map(Timestamp::from_millis);
    lines.extend(next_at.map(|at| format!("the next delayed one is due at {at}")));
    lines.extend(facts.pause.is_some().then(|| "the queue is paused".to_owned()));
    lines.extend(waits.iter().map(|RateWait { provider, limit, seconds }| {
        format!("mails wait for {limit} at {provider}: the last for {seconds} s")
    }));
    lines
}

fn class_line(class: &ClassBacklog, now: Timestamp) -> String {
    let (name, count, target) = (class.class.as_str(), class.mails(), class.class.target_seconds());
    let waits = class.waits(now).unwrap_or_default() / 1000;
    format!("{name} mails that wait: {count}, the oldest for {waits} s (target: {target} s)")
}

fn shown(
    facts: &MailFacts,
    counts: &Counts,
    workers: usize,
    oldest_at: Option<Timestamp>,
    waits: &[RateWait],
) -> Value {
    let mut json: Value =
        counts.by_state().map(|(state, count)| (state.as_str().to_owned(), Value::from(count))).collect();
    json["health"] = json!(mail_health(facts));
    json["backlog"] = facts.waiting.iter().map(|class| class_json(class, facts.now)).collect();
    json["mailers"] = facts.mailers.len().into();
    json["paused"] = facts.pause.is_some().into();
    if let Some(pause) = &facts.pause {
        json["pause"] = json!(pause);
    }
    json["workers"] = workers.into();
    json["oldestWaitingSince"] = json!(oldest_at);
    json["nextDelayedAt"] = json!(counts.next_due.map(Timestamp::from_millis));
    let wait = |one: &RateWait| json!({"provider": one.provider, "limit": one.limit, "seconds": one.seconds});
    json["rateWaits"] = waits.iter().map(wait).collect();
    json
}

fn class_json(class: &ClassBacklog, now: Timestamp) -> Value {
    json!({
        "class": class.class, "mails": class.mails(), "since": class.since(),
        "targetSeconds": class.class.target_seconds(), "late": class.is_late(now),
    })
}
