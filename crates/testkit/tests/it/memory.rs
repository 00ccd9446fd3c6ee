//! What the programs take of a machine's memory.

use std::fs;

use examhall_testkit::World;
use futures_util::future::join_all;

use crate::Api;

/// Most memory that a process ever had, in MB.
fn peak(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// Each password takes 19 MB while it is hashed, and as many are hashed at once as there are cores to spare.
#[tokio::test]
async fn a_sign_up_storm_needs_memory_for_concurrent_hashes_only() {
    let world = World::start().await;
    let api = Api::start(&world).await;
    let before = peak(api.process.pid());
    for round in 0..3 {
        let emails: Vec<_> = (0..100).map(|n| format!("guest-{round}-{n}@example.com")).collect();
        join_all(emails.iter().map(|email| api.sign_up(email))).await;
    }
    let at_once = std::thread::available_parallelism().map_or(1, |cores| cores.get().max(2) - 1);
    let allowed = 64 + 40 * u64::try_from(at_once).expect("a number of cores");
    let grown = peak(api.process.pid()) - before;
    assert!(grown < allowed, "{grown} MB more for {at_once} at once");
}
