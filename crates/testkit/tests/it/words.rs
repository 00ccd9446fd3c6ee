//! The language of the repository: one standard word for one thing, and test names that say what is expected.

use std::{fs, path::PathBuf};

use crate::rules::{committed, root};

/// Words that are not used, with those that are.
const NOT_USED: &[(&str, &str)] = &[
    ("anew", "again"),
    ("beside", "alongside, next to"),
    ("for ever", "forever"),
    ("knock", "request"),
    ("log-in", "login"),
    ("mailroom", "mail composer"),
    ("nudge", "wake, notify"),
    ("on its way", "in flight"),
    ("on their way", "in flight"),
    ("patience", "timeout"),
    ("sign of life", "heartbeat"),
    ("signs of life", "heartbeats"),
    ("slow lane", "greylist backoff"),
    ("struck off", "removed"),
    ("tidy", "prune"),
    ("warrant", "basis"),
    ("whoever", "clients that, callers that"),
];

/// Longest name of a test.
const LONGEST_NAME: usize = 60;

/// Source and documents that people read; what is generated, or quotes others, is left out.
fn texts() -> Vec<(PathBuf, String)> {
    let is_text = |file: &PathBuf| {
        let ends = |ending: &str| file.extension().is_some_and(|extension| extension == ending);
        (ends("rs") || ends("lua") || ends("md")) && !file.ends_with("words.rs")
    };
    let files = committed("").into_iter().filter(is_text);
    files.map(|file| (file.clone(), fs::read_to_string(root().join(&file)).expect("UTF-8"))).collect()
}

#[test]
fn words_are_the_fields() {
    let mut found = Vec::new();
    for (file, text) in texts() {
        for (number, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            let words = NOT_USED.iter().filter(|(word, _)| holds(&line, word));
            found.extend(
                words.map(|(word, instead)| format!("{}:{}: {word:?}, better: {instead}", file.display(), number + 1)),
            );
        }
    }
    assert!(found.is_empty(), "{} lines:\n{}", found.len(), found.join("\n"));
}

/// Returns whether a line holds a word as a whole; an underscore separates words of a name.
fn holds(line: &str, word: &str) -> bool {
    let is_end = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    line.match_indices(word)
        .any(|(at, _)| is_end(line[..at].chars().next_back()) && is_end(line[at + word.len()..].chars().next()))
}

#[test]
fn test_names_are_short() {
    let mut long = Vec::new();
    for (file, text) in texts() {
        let mut lines = text.lines().map(str::trim_start);
        while let Some(line) = lines.next() {
            let is_test = line.starts_with("#[")
                && line
                    .trim_end_matches(']')
                    .split('(')
                    .next()
                    .is_some_and(|attribute| attribute == "#[test" || attribute.ends_with("::test"));
            if !is_test {
                continue;
            }
            let Some(function) = lines.by_ref().find(|line| !line.starts_with("#[") && !line.starts_with("//")) else {
                break;
            };
            let name = function.split("fn ").nth(1).and_then(|rest| rest.split('(').next()).unwrap_or_default();
            if name.len() > LONGEST_NAME {
                long.push(format!("{}: {name}", file.display()));
            }
        }
    }
    assert!(long.is_empty(), "longer than {LONGEST_NAME} characters:\n{}", long.join("\n"));
}
