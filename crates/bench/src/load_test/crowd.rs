//! An open-loop load generator: each request has its moment, whether or not those before it were answered.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, interval, sleep_until};

use crate::load::Connection;

/// Connections to the API, as a reverse proxy keeps them.
const CONNECTIONS: usize = 256;
/// How often progress is reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(2);

/// What became of the requests.
pub(crate) struct Seen {
    /// For each request how long it took; `None` is one that failed.
    pub(crate) times: Vec<Option<Duration>>,
    /// How many were answered 5xx, or not at all.
    pub(crate) server_errors: usize,
    /// From the first to the last answer.
    pub(crate) took: Duration,
}

/// Counts of a run, for its progress.
#[derive(Default)]
struct Counts {
    begun: AtomicUsize,
    answered: AtomicUsize,
    server_errors: AtomicUsize,
}

/// Sends each request once, spread evenly over `within`; reports progress to stderr.
///
/// The time of a request counts from its moment, so what waits for a connection is not left out (coordinated omission).
/// With nothing to spread over, all are due at once and it counts from when one is sent.
pub(crate) async fn send(what: &str, address: SocketAddr, requests: Vec<Vec<u8>>, within: Duration) -> Seen {
    let (requests, counts) = (Arc::new(requests), Arc::new(Counts::default()));
    let begin = Instant::now() + Duration::from_millis(50);
    let senders: Vec<_> = (0..CONNECTIONS.min(requests.len()))
        .map(|_| tokio::spawn(sender(address, Arc::clone(&requests), within, begin, Arc::clone(&counts))))
        .collect();
    let progress = report(what, &counts, requests.len());
    let mut times = vec![None; requests.len()];
    let collect = async {
        for sender in senders {
            for (n, time) in sender.await.unwrap_or_default() {
                times[n] = Some(time);
            }
        }
    };
    tokio::select! {
        () = collect => {}
        () = progress => {}
    }
    let server_errors = counts.server_errors.load(Ordering::Relaxed);
    Seen { times, server_errors, took: begin.elapsed() }
}

/// Sends the next request again and again; returns the number and the time of each that was answered as it should be.
async fn sender(
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    within: Duration,
    begin: Instant,
    counts: Arc<Counts>,
) -> Vec<(usize, Duration)> {
    let (mut connection, mut good) = (None, Vec::new());
    loop {
        let n = counts.begun.fetch_add(1, Ordering::Relaxed);
        let Some(request) = requests.get(n) else { return good };
        let share = u32::try_from(n).unwrap_or(u32::MAX);
        let due = begin + within * share / u32::try_from(requests.len()).unwrap_or(u32::MAX);
        sleep_until(due).await;
        let from = if within.is_zero() { Instant::now() } else { due };
        let status = exchange(&mut connection, address, request).await.unwrap_or(0);
        counts.answered.fetch_add(1, Ordering::Relaxed);
        match status {
            200..300 => good.push((n, from.elapsed())),
            0 | 500.. => {
                counts.server_errors.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

/// Sends a request on the connection, or on a new one where there is none; returns the status of the answer.
async fn exchange(connection: &mut Option<Connection>, address: SocketAddr, request: &[u8]) -> anyhow::Result<u16> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => Connection::open(address).await?,
    };
    let status = open.send(request).await?.status;
    *connection = Some(open); // one that failed is not used again
    Ok(status)
}

/// Reports how far the run has come; never ends.
async fn report(what: &str, counts: &Counts, of: usize) {
    let mut clock = interval(REPORT_INTERVAL);
    clock.tick().await;
    loop {
        clock.tick().await;
        let [answered, failed] = [&counts.answered, &counts.server_errors].map(|count| count.load(Ordering::Relaxed));
        crate::progress(&format!("{what}: {answered} of {of} answered, {failed} of them 5xx or not at all"));
    }
}
