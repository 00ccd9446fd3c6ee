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

/// Runs a load test that succeeds, and gives its report and what it said meanwhile.
fn load_test(args: &[&str]) -> (String, String) {
    let output = bench(&[&["load-test"], args].concat());
    let [report, progress] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("UTF-8"));
    assert!(output.status.success(), "{report}{progress}");
    (report, progress)
}

fn number(report: &str, row: &str, column: usize) -> f64 {
    let line = report.lines().find(|line| line.starts_with(row));
    let cells = line.unwrap_or_else(|| unreachable!("{row}: {report}"))[row.len()..].split_whitespace();
    cells.clone().nth(column).expect("a column").parse().expect("a number")
}

/// How many requests there were, and how many of them failed.
fn counts<'a>(line: &'a str, row: &str) -> Vec<&'a str> {
    line[row.len()..].split_whitespace().take(2).collect()
}

#[test]
fn the_load_test_reports_what_users_saw() {
    let (report, _) = load_test(&["exam-start", "sign-up", "--users", "5"]);
    let number = |row: &str, column: usize| number(&report, row, column);
    for moment in ["exam start: 5 read the sheet", "sign-up storm: sign-up", "sign-up storm: login"] {
        assert!(number(moment, 0) >= 5.0, "{report}");
        assert_eq!(number(moment, 1).to_string(), "0", "{report}");
    }
    // On a busy machine a lease may end before its load has. Where Redis was silent for so long that reads bypassed it,
    // a process keeps for 2 s what it has read.
    let fewest = if number("exam start: reads that bypassed Redis", 0) > 0.0 { 0.0 } else { 1.0 };
    assert!((fewest..2.0).contains(&number("exam start: loads per change", 0)), "{report}");
}

#[test]
fn the_end_of_an_exam_is_measured() {
    let small = ["--students", "30", "--questions", "5", "--within", "3"];
    let (report, progress) = load_test(&[&["submit", "autosave", "sweep"], &small[..]].concat());
    let number = |row: &str, column: usize| number(&report, row, column);
    for what in ["submit", "autosave"] {
        let times = format!("{what}: 30 students, 5 questions");
        assert!(
            report.lines().any(|line| line.starts_with(&times) && counts(line, &times) == ["30.00", "0.00"]),
            "{report}"
        );
        let [p50, _, p99, max] = [2, 3, 4, 5].map(|column| number(&times, column));
        assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{report}");
        let rate = number(&format!("{what}: requests per second"), 0);
        assert!(0.0 < rate && rate <= 11.0, "30 of them are spread over 3 s: {report}");
        assert_eq!(number(&format!("{what}: answered 5xx, or not at all"), 0).to_string(), "0", "{report}");
        number(&format!("{what}: API, CPU ms per request"), 0); // too little to be sure that it is not 0
        assert!(progress.contains(&format!("{what}: ")) && progress.contains(" of 30 answered"), "{progress}");
    }
    assert!(number("sweep: three processes, times one", 0) > 0.0, "{report}");
}

#[test]
fn the_load_test_says_how_it_is_used() {
    let output = bench(&["load-test", "--help"]);
    let help = String::from_utf8_lossy(&output.stdout);
    for word in ["submit", "autosave", "sweep", "--students", "--questions", "--within"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    let refused = bench(&["load-test", "submit", "--questions", "0"]);
    assert!(!refused.status.success());
}
