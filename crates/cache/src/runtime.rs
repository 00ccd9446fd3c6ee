//! The cache's own thread, so that a busy program cannot delay lease renewals and invalidation messages.

use tokio::runtime::{Builder, Handle, Runtime};

use crate::Error;

/// Runtime of connections, leases and the link. Without Redis it is the caller's, and there is no own thread.
pub(crate) struct CacheRuntime {
    own: Option<Runtime>,
    handle: Handle,
}

impl CacheRuntime {
    pub(crate) fn start(has_redis: bool) -> Result<Self, Error> {
        let build = || Builder::new_multi_thread().worker_threads(1).thread_name("cache").enable_all().build();
        let own = has_redis.then(build).transpose()?;
        let handle = own.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone());
        Ok(Self { own, handle })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for CacheRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.own.take() {
            runtime.shutdown_background(); // blocking is not allowed in a task
        }
    }
}
