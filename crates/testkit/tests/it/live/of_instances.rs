//! Alerts on one process of several, and on a provider that breaks connections.

use examhall_testkit::{Action, Phase, World};

use super::Live;

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn instance_gone() {
    let mut live = Live::start(World::start().await).await;
    live.mailer.kill().await;
    live.fires("InstanceGone").await;
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn mail_breaks_off() {
    let live = Live::start(World::start().await).await;
    live.world.smtp.behave(|phase, _| match phase {
        Phase::EndOfData => Action::KeepAndClose,
        _ => Action::Proceed,
    });
    live.api.sign_up("ada@example.com").await;
    live.api.sign_up("bob@example.com").await;
    live.fires("MailBreaksOff").await;
}
