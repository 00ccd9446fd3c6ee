//! Adds flows.

use examhall_redis::{Value, convert};
use serde_json::{Map, Value as Json};

use super::{AddedFlow, FlowJob, JobKey};
use crate::{Connection, Error, NewJob, clock::ServerClock, code::Code, keys::Keys, queue::check, script};

/// Largest number of jobs that are added at once.
const MOST_JOBS: usize = 5_000;
/// Largest number of bytes that are added at once.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Adds flows.
/// ```no_run
/// # use examhall_queue::{Connection, FlowJob, FlowProducer};
/// # async fn run(connection: Connection) -> Result<(), examhall_queue::Error> {
/// let flows = FlowProducer::new(connection, "bull");
/// let page = |n: u32| FlowJob::new("pages", "render", &n);
/// let added = flows.add(&FlowJob::new("books", "bind", &"Emma")?.children([page(1)?, page(2)?])).await?;
/// println!("book {}, first page {}", added.id, added.children[0].id);
/// # Ok(())
/// # }
/// ```
/// The handler of `bind` reads what its pages returned by
/// [`Claim::children_values`](crate::Claim::children_values).
#[derive(Clone, Debug)]
pub struct FlowProducer {
    connection: Connection,
    prefix: String,
    clock: ServerClock,
}

/// A job of a flow as the script takes it.
struct Node {
    keys: Keys,
    id: String,
    args: [Value; 6],
    parent: String,
    parent_field: String,
    has_children: bool,
}

impl FlowProducer {
    /// A producer whose queues have this prefix, unless a job has another (BullMQ's default is `bull`).
    pub fn new(connection: Connection, prefix: impl Into<String>) -> Self {
        Self { connection, prefix: prefix.into(), clock: ServerClock::default() }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Adds a flow, all of its jobs or none. A child whose id exists is not added again but becomes a child of its parent,
    /// which is ready at once if all children have completed already.
    ///
    /// # Errors
    /// Returns [`Error::BadFlow`] if it cannot be used, the errors of [`Queue::add`](crate::Queue::add) for its jobs,
    /// [`Error::ParentMissing`] if the parent does not exist, [`Error::OtherParent`] if a job is a child of another one,
    /// or [`Error::Redis`].
    pub async fn add(&self, flow: &FlowJob) -> Result<AddedFlow, Error> {
        let added = self.add_all(std::slice::from_ref(flow)).await?;
        added.into_iter().next().ok_or(Error::UnexpectedAnswer("no id of an added flow"))
    }

    /// Adds flows, all of them or none.
    ///
    /// # Errors
    /// Returns the errors of [`add`](Self::add).
    pub async fn add_all(&self, flows: &[FlowJob]) -> Result<Vec<AddedFlow>, Error> {
        let Some(first) = flows.first() else { return Ok(Vec::new()) };
        let _ = self.clock.read(&self.connection, &self.keys_of(first)?.of("meta")).await; // an unavailable server fails the script
        let (now, mut nodes, mut bytes) = (self.clock.now_ms(), Vec::new(), 0);
        for flow in flows {
            self.collect(flow, flow.parent.as_ref(), now, &mut nodes, &mut bytes)?;
        }
        if nodes.len() > MOST_JOBS || bytes > MOST_BYTES {
            let (jobs, mebibytes) = (MOST_JOBS, MOST_BYTES / 1024 / 1024);
            return Err(Error::BadFlow(format!("more than {jobs} jobs or {mebibytes} MiB are not added at once")));
        }
        self.check_slot(&nodes)?;
        let mut ids = self.write(now.to_string().into(), &nodes).await?.into_iter();
        flows.iter().map(|flow| to_tree(flow, &mut ids)).collect()
    }

    /// Lists the jobs of a flow, parents before their children.
    fn collect(
        &self,
        job: &FlowJob,
        parent: Option<&JobKey>,
        now: i64,
        nodes: &mut Vec<Node>,
        bytes: &mut usize,
    ) -> Result<(), Error> {
        let keys = self.keys_of(job)?;
        let rejected = |reason: &str| Err(Error::BadFlow(reason.to_owned()));
        if let Some(deduplication) = &job.options.deduplication {
            if !job.children.is_empty() {
                return rejected("a job with children cannot be deduplicated");
            }
            if !deduplication.mode_names().is_empty() {
                return rejected("jobs of a flow have no mode of deduplication");
            }
        }
        let checked = check(&NewJob::new(&job.name, &job.data).options(job.options.clone()), now)?;
        *bytes += checked.bytes;
        let mut args = checked.args;
        if let Some(parent) = parent {
            let mut opts: Map<String, Json> = serde_json::from_str(&job.options.to_json()).map_err(Error::payload)?;
            opts.insert("parent".into(), parent.to_option());
            job.on_failure.write(&mut opts);
            args[3] = Json::Object(opts).to_string().into();
        }
        let id = job.options.job_id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let key = JobKey::of(&keys, id.clone());
        nodes.push(Node {
            keys,
            id,
            args,
            parent: parent.map(ToString::to_string).unwrap_or_default(),
            parent_field: parent.map(|parent| parent.to_field(job.on_failure).to_string()).unwrap_or_default(),
            has_children: !job.children.is_empty(),
        });
        for child in &job.children {
            if child.parent.is_some() {
                return rejected("a child has its parent in the flow");
            }
            self.collect(child, Some(&key), now, nodes, bytes)?;
        }
        Ok(())
    }

    fn keys_of(&self, job: &FlowJob) -> Result<Keys, Error> {
        Keys::new(job.prefix.as_deref().unwrap_or(&self.prefix), &job.queue)
    }

    /// On a cluster one script reaches one slot.
    fn check_slot(&self, nodes: &[Node]) -> Result<(), Error> {
        if !self.connection.is_clustered() {
            return Ok(());
        }
        let parents = nodes.iter().map(|node| node.parent.as_str()).filter(|parent| !parent.is_empty());
        let mut tags = nodes.iter().map(|node| node.keys.hash_tag()).chain(parents.map(Keys::hash_tag_of));
        let first = tags.next().flatten();
        if first.is_none() || tags.any(|tag| tag != first) {
            let reason =
                "on a cluster all its queues must share one hash tag: put braces around the prefix, as in {bull}";
            return Err(Error::BadFlow(reason.to_owned()));
        }
        Ok(())
    }

    async fn write(&self, now: Value, nodes: &[Node]) -> Result<Vec<String>, Error> {
        let mut queues: Vec<String> = Vec::new();
        let mut args = vec![now];
        for node in nodes {
            let meta = node.keys.of("meta");
            let number = queues.iter().position(|queue| *queue == meta).unwrap_or_else(|| {
                queues.push(meta);
                queues.len() - 1
            });
            let [_, name, data, opts, timestamp, extras] = node.args.clone();
            args.extend([
                (number + 1).to_string().into(),
                node.id.as_str().into(),
                name,
                data,
                opts,
                timestamp,
                extras,
            ]);
            args.extend([node.parent.as_str(), node.parent_field.as_str()].map(Value::from));
            args.push(if node.has_children { "1" } else { "0" }.into());
        }
        let queues: Vec<&str> = queues.iter().map(String::as_str).collect();
        let (code, answer): (i64, Value) = self.connection.eval(&script::ADD_FLOW, &queues, args).await?;
        let node = |answer: Value| -> Result<&Node, Error> {
            let at: usize = convert(answer)?;
            nodes.get(at.wrapping_sub(1)).ok_or(Error::UnexpectedAnswer("a job that is not in the flow"))
        };
        match Code::try_from(code)? {
            Code::Done => Ok(convert(answer)?),
            Code::ParentMissing => Err(Error::ParentMissing(node(answer)?.parent.clone())),
            Code::OtherParent => Err(Error::OtherParent(node(answer)?.id.clone())),
            Code::BadKey => Err(Error::BadKey(convert(answer)?)),
            _ => Err(Error::UnexpectedAnswer("a code that no flow has")),
        }
    }
}

fn to_tree(job: &FlowJob, ids: &mut impl Iterator<Item = String>) -> Result<AddedFlow, Error> {
    let id = ids.next().ok_or(Error::UnexpectedAnswer("a flow has too few ids"))?;
    let children = job.children.iter().map(|child| to_tree(child, ids)).collect::<Result<_, _>>()?;
    Ok(AddedFlow { id, children })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use examhall_testkit::Redis;

    use super::*;

    #[tokio::test]
    async fn flow_is_dated_by_the_server() {
        let redis = Redis::start().await;
        let connection = Connection::open(&redis.url()).expect("a good URL");
        connection.ready().await.expect("connected");
        let flows = FlowProducer::new(connection, "bull");
        let book = FlowJob::new("books", "bind", &1).expect("JSON");
        let first = flows.add(&book).await.expect("added");
        let added_at = async |id: &str| redis.cmd::<i64>(&format!("HGET bull:books:{id} timestamp")).await;
        let server = redis.cmd::<Vec<i64>>("TIME").await[0] * 1_000;
        assert!((server - 60_000..=server + 1_000).contains(&added_at(&first.id).await));
        // As if the server's clock, or this machine's, were ten minutes off.
        flows.clock.set(server + 600_000, Instant::now());
        let second = flows.add(&book).await.expect("added");
        assert!((server + 600_000..server + 660_000).contains(&added_at(&second.id).await));
    }
}
