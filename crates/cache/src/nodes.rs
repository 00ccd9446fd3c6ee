//! Connects to the masters of a Redis Cluster as they come and go.

use std::{sync::Arc, time::Duration};

use examhall_redis::{ClusterMaster, NodeAddress};
use tokio_util::sync::CancellationToken;

use crate::{
    Error,
    cache::Inner,
    connection::{BULK_TIMEOUT, connect_node, within},
    link,
    redis::Redis,
    servers::Cluster,
};

/// How often it is looked for new masters, of which nodes report with their heartbeats.
const POLL: Duration = Duration::from_millis(100);
/// Time allowed to connect to a node that the URL names.
const CONNECT: Duration = Duration::from_secs(1);

/// Starts to connect to the masters of the cluster.
pub(crate) fn start(cache: &Arc<Inner>) {
    let (inner, stop) = (Arc::clone(cache), cache.stop.clone());
    cache.runtime.handle().spawn(async move {
        if let Some(cluster) = inner.servers.cluster() {
            stop.run_until_cancelled(follow(&inner, cluster)).await;
        }
    });
}

/// Keeps one connection to each master, forever.
async fn follow(cache: &Arc<Inner>, cluster: &Cluster) {
    let mut stops: Vec<(Arc<Redis>, CancellationToken)> = Vec::new();
    let mut is_found = true;
    loop {
        if cluster.is_lost() {
            let answer = ask_seeds(cluster).await;
            if let Some(error) = answer.as_ref().err().filter(|_| is_found) {
                tracing::warn!(%error, "Cache finds no node of the cluster");
            }
            is_found = answer.is_ok();
            let mut masters = answer.unwrap_or_default();
            masters.retain(|master| !stops.iter().any(|(redis, _)| redis.is(master)));
            stops.extend(masters.into_iter().filter_map(|master| connect(cache, cluster, master)));
        }
        let (missing, surplus) = cluster.changes();
        stops.extend(missing.into_iter().filter_map(|master| connect(cache, cluster, master)));
        for redis in surplus {
            for (_, stop) in stops.extract_if(.., |(known, _)| known.number == redis.number) {
                stop.cancel();
            }
            cache.clear_slots(&cluster.remove(&redis), "moved");
            tracing::info!(node = redis.label(), "Cache leaves a node of the cluster");
            redis.close().await;
        }
        tokio::time::sleep(POLL).await;
    }
}

fn connect(cache: &Arc<Inner>, cluster: &Cluster, master: ClusterMaster) -> Option<(Arc<Redis>, CancellationToken)> {
    let added = cluster.add(master, &cache.servers.health);
    let redis = added.inspect_err(|error| tracing::warn!(%error, "Cache cannot use a node of the cluster")).ok()?;
    tracing::info!(node = redis.label(), "Cache follows a node of the cluster");
    let stop = cache.stop.child_token();
    link::start(cache, &redis, &stop);
    Some((redis, stop))
}

/// Returns the masters that the first node reports which answers, of those that the URL names.
///
/// # Errors
/// Returns the last error if none answers.
async fn ask_seeds(cluster: &Cluster) -> Result<Vec<ClusterMaster>, Error> {
    let mut answer = Ok(Vec::new());
    for seed in cluster.url.seeds() {
        answer = ask(cluster, &seed).await;
        if answer.as_ref().is_ok_and(|masters| !masters.is_empty()) {
            break;
        }
    }
    answer
}

async fn ask(cluster: &Cluster, seed: &NodeAddress) -> Result<Vec<ClusterMaster>, Error> {
    let connection = connect_node(&cluster.url, seed)?;
    let view = async {
        within(CONNECT, connection.ready()).await?;
        within(BULK_TIMEOUT, connection.cluster_view(BULK_TIMEOUT)).await
    };
    let view = view.await;
    connection.close().await;
    Ok(view?.masters)
}
