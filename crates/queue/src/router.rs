//! Several kinds of jobs in one queue: a handler for each name.

use std::{collections::HashMap, fmt, marker::PhantomData, pin::Pin};

use serde::de::DeserializeOwned;

use crate::{Failure, Handler, Job, Json, Outcome};

type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// A [`Handler`] that passes each job to the handler of its name, with the data of that handler's type.
/// ```no_run
/// use examhall_queue::{Job, Json, NewJob, Queue, Router, Worker, WorkerOptions};
/// # use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Greeting {
///     to: String,
/// }
///
/// async fn greet(job: Job<Greeting>) -> anyhow::Result<()> {
///     println!("hello {}", job.data.to);
///     Ok(())
/// }
///
/// # async fn run(queue: Queue<Json>) -> Result<(), examhall_queue::Error> {
/// let router = Router::new()
///     .on("greet", greet)
///     .on("add", |job: Job<Vec<i64>>| async move { Ok::<_, anyhow::Error>(job.data.iter().sum::<i64>()) });
/// let worker = Worker::new(queue.clone(), WorkerOptions::default(), router)?;
///
/// queue.typed().add(NewJob::new("greet", Greeting { to: "Ada".into() })).await?;
/// queue.typed().add(NewJob::new("add", vec![1, 2, 3])).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct Router {
    routes: HashMap<String, Box<dyn Route>>,
    fallback: Option<Box<dyn Route>>,
}

impl Router {
    /// A router without handlers: every job fails for good.
    pub fn new() -> Self {
        Self::default()
    }

    /// Passes jobs named `name` to `handler`, in place of an earlier one. A job whose data has another type fails for good,
    /// with a reason that says where.
    #[must_use]
    pub fn on<T, H>(mut self, name: impl Into<String>, handler: H) -> Self
    where
        T: DeserializeOwned + Send + 'static,
        H: Handler<T>,
    {
        self.routes.insert(name.into(), Box::new(Typed { handler, data: PhantomData }));
        self
    }

    /// Passes jobs of all other names to `handler`. Without it they fail for good, with a reason that names theirs.
    #[must_use]
    pub fn fallback<H: Handler<Json>>(mut self, handler: H) -> Self {
        self.fallback = Some(Box::new(Typed { handler, data: PhantomData }));
        self
    }

    fn route(&self, name: &str) -> Result<&dyn Route, Outcome> {
        let route = self.routes.get(name).or(self.fallback.as_ref()).map(|route| &**route);
        route
            .ok_or_else(|| Outcome::Unrecoverable(Failure::new(format!("there is no handler for jobs named {name:?}"))))
    }
}

impl Handler<Json> for Router {
    async fn run(&self, job: Job<Json>) -> Outcome {
        match self.route(&job.name) {
            Ok(route) => route.run(job).await,
            Err(outcome) => outcome,
        }
    }

    async fn give_up(&self, job: Job<Json>, reason: String) -> Outcome {
        match self.route(&job.name) {
            Ok(route) => route.give_up(job, reason).await,
            Err(outcome) => outcome,
        }
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("names", &self.routes.keys()).finish_non_exhaustive()
    }
}

/// A handler whose data has a type that the router does not know.
trait Route: Send + Sync {
    fn run(&self, job: Job<Json>) -> Running<'_>;
    fn give_up(&self, job: Job<Json>, reason: String) -> Running<'_>;
}

struct Typed<T, H> {
    handler: H,
    data: PhantomData<fn() -> T>,
}

impl<T, H> Route for Typed<T, H>
where
    T: DeserializeOwned + Send + 'static,
    H: Handler<T>,
{
    fn run(&self, job: Job<Json>) -> Running<'_> {
        match job.read() {
            Ok(job) => Box::pin(self.handler.run(job)),
            Err(failure) => Box::pin(std::future::ready(Outcome::Unrecoverable(failure))),
        }
    }

    fn give_up(&self, job: Job<Json>, reason: String) -> Running<'_> {
        match job.read() {
            Ok(job) => Box::pin(self.handler.give_up(job, reason)),
            Err(_) => Box::pin(std::future::ready(Outcome::Unrecoverable(Failure::new(reason)))),
        }
    }
}
