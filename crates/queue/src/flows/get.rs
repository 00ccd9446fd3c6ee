//! Reads flows.

use examhall_redis::{Value, convert};

use super::{FlowProducer, JobKey};
use crate::{Error, JobId, JobRecord, State, client::texts, script};

/// A job of a flow, with its children.
/// ```no_run
/// # use examhall_queue::{Error, FlowNode, FlowProducer, JobKey};
/// fn print(node: &FlowNode, indent: usize) {
///     println!("{:indent$}{} is {}", "", node.key, node.job.state);
///     node.children.iter().for_each(|child| print(child, indent + 2));
/// }
/// # async fn run(flows: FlowProducer) -> Result<(), Error> {
/// if let Some(book) = flows.get_flow(&JobKey::new("bull", "books", "emma")?, 10, 20).await? {
///     print(&book, 0);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FlowNode {
    /// Its queue and id.
    pub key: JobKey,
    /// The job.
    pub job: JobRecord,
    /// Its children, as far as they are stored: those that completed, those that it waits for, those that failed it, and
    /// those that failed and that it goes on without.
    pub children: Vec<Self>,
}

impl FlowProducer {
    /// Reads a job with its children, theirs, and so on: `depth` levels, and up to `most_children` of each kind for each job.
    /// Returns `None` if there is no such job. BullMQ's `getFlow`, whose defaults are 10 levels and 20 children.
    ///
    /// # Errors
    /// Returns [`Error::BadJobId`] if the id cannot be one, or [`Error::Redis`].
    pub async fn get_flow(&self, top: &JobKey, depth: u32, most_children: u32) -> Result<Option<FlowNode>, Error> {
        JobId::new(top.id())?;
        let meta = format!("{}:meta", top.queue());
        let args = vec![top.id().into(), (if depth > 1 { most_children } else { 0 }).into()];
        let Value::Array(parts) = self.connection().eval(&script::FLOW_NODE, &[&meta], args).await? else {
            return Err(Error::UnexpectedAnswer("a job of a flow is not a list"));
        };
        let Ok([place, Value::Array(hash), due, children]) = <[Value; 4]>::try_from(parts) else { return Ok(None) };
        let (place, children): (String, _) = (convert(place)?, texts(children));
        let state = State::from_place(&place).ok_or(Error::UnexpectedAnswer("an unknown state"))?;
        let job = JobRecord::new(top.id().to_owned(), state, hash, convert(due)?);
        let mut node = FlowNode { key: top.clone(), job, children: Vec::new() };
        for child in children.chunks_exact(2) {
            let child = JobKey::at(&child[0], &child[1]);
            if JobId::new(child.id()).is_err() {
                continue; // it was written by hand
            }
            node.children.extend(Box::pin(self.get_flow(&child, depth.saturating_sub(1), most_children)).await?);
        }
        Ok(Some(node))
    }
}
