//! Ends what fred runs for a connection once the last clone of the connection is dropped.

use std::time::Duration;

use fred::{clients::Client, interfaces::ClientLike};
use tokio::{runtime::Handle, task::AbortHandle};

/// Time allowed for the farewell.
const QUITS_WITHIN: Duration = Duration::from_secs(1);

/// Owns the task of a fred client, which would run on: the client's parts refer to one another.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) client: Client,
    pub(crate) task: AbortHandle,
}

impl Drop for Owner {
    fn drop(&mut self) {
        let (client, task) = (self.client.clone(), self.task.clone());
        match Handle::try_current() {
            Ok(runtime) if !task.is_finished() => {
                drop(runtime.spawn(async move {
                    let _ = tokio::time::timeout(QUITS_WITHIN, client.quit()).await;
                    task.abort(); // while it reconnects it takes no command
                }));
            }
            _ => task.abort(),
        }
    }
}
