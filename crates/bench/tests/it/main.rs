//! The benchmark runs; what it measures is another matter.

use std::process::{Command, Output};

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_examhall-bench")).args(args).output().expect("the benchmark can be started")
}

#[test]
fn every_work_is_measured_for_every_peer() {
    let output = bench(&["queue", "--count", "500", "--rounds", "1", "--peers", "ours,bullmq-5,bullmq-6,minimal"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8(output.stdout).expect("UTF-8");
    for work in [
        "add, 1 in flight",
        "add, 50 in flight",
        "add, 500 in flight",
        "bulk add, 100 a call",
        "no-op jobs, 5 slots",
        "no-op jobs, 50 slots",
        "no-op jobs, 500 slots",
    ] {
        for peer in ["ours", "bullmq 5.66.4", "bullmq 6.7.0", "minimal Lua"] {
            let head = format!("{work:<24} {peer:<16}");
            let line =
                table.lines().find(|line| line.starts_with(&head)).unwrap_or_else(|| panic!("{head} in {table}"));
            let figures: Vec<f64> =
                line[head.len()..].split_whitespace().filter_map(|cell| cell.parse().ok()).collect();
            assert!(figures.len() >= 3 && figures[..3].iter().all(|figure| *figure > 0.0), "{line}");
            assert_eq!(line.ends_with('x'), peer != "ours", "a ratio for each peer: {line}");
        }
    }
    assert!(table.contains("bullmq 5.66.4, jobs/s"), "{table}");
}

#[test]
fn a_count_that_cannot_be_shared_out_is_refused() {
    let output = bench(&["queue", "--count", "77"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("it must be 500, 1000"), "{said}");
}

#[test]
fn the_load_test_reports_what_users_saw() {
    let output = bench(&["load-test", "exam-start", "sign-up", "--users", "5"]);
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    let number = |row: &str, column: usize| {
        let line = report.lines().find(|line| line.starts_with(row)).unwrap_or_else(|| panic!("{row}: {report}"));
        line[row.len()..].split_whitespace().nth(column).expect("a column").parse::<f64>().expect("a number")
    };
    for moment in ["exam start: 5 read the sheet", "sign-up storm: sign-up", "sign-up storm: login"] {
        assert!(number(moment, 0) >= 5.0, "{report}");
        assert_eq!(number(moment, 1).to_string(), "0", "{report}");
    }
    // On a busy machine a lease may end before its load has.
    assert!((1.0..2.0).contains(&number("exam start: loads per change", 0)), "{report}");
}
