//! docs/guide.md: its code is that of programs, and the programs do what it says.

use std::{fs, path::Path};

use examhall_testkit::{Process, Redis, example};
use tokio::process::Command;

use crate::{
    TIMEOUT,
    commands::{commands, root},
};

/// A text without its indentation, so that a block of it can be found in a program's depth.
fn flush(text: &str) -> String {
    let indented = text.lines().filter(|line| !line.trim().is_empty());
    let depth = indented.map(|line| line.len() - line.trim_start().len()).min().unwrap_or_default();
    text.lines().map(|line| line.get(depth..).unwrap_or_default().to_owned() + "\n").collect()
}

#[test]
fn all_code_of_the_guide_stands_in_a_program() {
    let guide = fs::read_to_string(root().join("docs/guide.md")).expect("the guide");
    let mut blocks = 0;
    for (before, after) in guide.match_indices("```rust\n").map(|(at, fence)| guide.split_at(at + fence.len())) {
        let shown = after.split("```").next().expect("the block ends");
        let source = before.trim_end_matches("```rust\n").trim_end().rsplit('\n').next().expect("a line above");
        let source = source.trim_start_matches("<!-- ").trim_end_matches(" -->");
        let program = fs::read_to_string(root().join(source)).expect(source);
        let lines: Vec<_> = program.lines().collect();
        let length = shown.lines().count();
        let is_there = lines.windows(length).any(|window| flush(&window.join("\n")) == flush(shown));
        assert!(is_there, "{source} does not hold:\n{shown}");
        blocks += 1;
    }
    assert!(blocks > 10, "{blocks}");
}

/// What each program prints, in this order.
const PRINTED: &[(&str, &[&str])] = &[
    (
        "read_through",
        &[
            "query 1 for product:7:rating",
            "1000 have read",
            "{\"stars\":4.5,\"votes\":118} with ETag \"7\"",
            "value: 118",
        ],
    ),
    ("change", &["before the change: Ada", "afterwards: Grace", "changed it: Grace", "after a death: Joan"]),
    ("producer", &["added ", "added 9 more"]),
    ("follow", &["25 %", "100 %", "\"converted\": Number(4)", "4 lines", "pages is missing"]),
    ("careful", &["20 paid, not paid: [\"in-doubt\"]"]),
    ("admin", &["priority 1: the first job waits since", "0 run again, 0 old ones removed"]),
];

#[tokio::test]
async fn the_programs_of_the_guide_print_what_it_says() {
    let redis = Redis::start().await;
    let mut run = 0;
    for line in commands("docs/guide.md") {
        let words: Vec<_> = line.command.split_whitespace().collect();
        let [_, _, _, name, _, _, arguments @ ..] = &words[..] else { panic!("{words:?}") };
        let (_, printed) = PRINTED.iter().find(|(program, _)| program == name).expect(name);
        let mut program = Process::spawn(name, Command::new(example(name)).arg(redis.url()).args(arguments));
        let status = program.exit(TIMEOUT).await;
        let mut output = program.output();
        assert!(status.success(), "{name}: {output}");
        for text in *printed {
            let at = output.find(text).unwrap_or_else(|| panic!("{name} does not print {text:?} next: {output}"));
            output = output.split_off(at + text.len());
        }
        assert!(!output.contains("query 2"), "{name}: {output}");
        run += 1;
    }
    assert_eq!(run, PRINTED.len());
}

#[test]
fn every_program_is_named_in_the_guide() {
    let guide = fs::read_to_string(root().join("docs/guide.md")).expect("the guide");
    for folder in ["crates/cache/examples", "crates/queue/examples"] {
        for program in fs::read_dir(root().join(folder)).expect("examples") {
            let program = program.expect("an entry").path();
            let name = Path::new(&program).file_stem().expect("a name").display().to_string();
            assert!(guide.contains(&format!("--example {name}")), "{name}");
        }
    }
}
