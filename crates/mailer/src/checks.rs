//! Trying the parts without the queue: what an operator does first.

use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use examhall_core::EmailJob;
use serde::Serialize;

use crate::{Mailer, message::prepare};

/// How long Redis may take to answer for the first time.
const REDIS_PATIENCE: Duration = Duration::from_secs(3);

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was tested.
    pub what: String,
    /// What is wrong, and where to look; absent where nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What a server said to a test mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// The mail's `Message-ID`.
    pub message_id: String,
    /// Who took it.
    pub provider: String,
    /// In which words.
    pub response: String,
}

impl Mailer {
    /// Tests Redis, and the log-in at every server, without sending a mail.
    pub async fn check(&self) -> Vec<Finding> {
        let connection = self.queue.connection();
        let answered = tokio::time::timeout(REDIS_PATIENCE, async {
            connection.ready().await?;
            connection.ping().await
        });
        let redis = match answered.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{error}; check REDIS_URL")),
            Err(_) => Some("no answer; is it running, and is REDIS_URL right?".to_owned()),
        };
        let mut findings = vec![Finding { what: "Redis".to_owned(), problem: redis }];
        for (provider, answer) in self.handler.transport.check().await {
            let problem = answer.err().map(|reason| format!("{reason}; check SMTP_URL"));
            findings.push(Finding { what: format!("SMTP {provider}"), problem });
        }
        findings
    }

    /// Sends one mail, past the queue.
    ///
    /// # Errors
    /// Where it is no mail, or nobody takes it: in the server's words.
    pub async fn send_directly(&self, job: &EmailJob) -> anyhow::Result<Tested> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let millis = i64::try_from(since.as_millis()).unwrap_or(0);
        let id = format!("test-{millis}");
        let mail = prepare(job, &id, millis, &self.handler.author)?;
        let refused = |undelivered: crate::smtp::Undelivered| anyhow!("not accepted: {}", undelivered.reason);
        let pending = self.handler.transport.begin(&mail).await.map_err(refused)?;
        let delivered = pending.finish(&id, &mail).await.map_err(refused)?;
        self.handler.transport.leave().await;
        Ok(Tested { message_id: mail.message_id, provider: delivered.provider, response: delivered.response })
    }
}
