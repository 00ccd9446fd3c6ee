//! `.env.example`, generated from the table of settings.

use std::fmt::Write;

use super::known::SETTINGS;

/// Returns the text of `.env.example`: every setting with its description and default. A test compares the file with it.
pub fn env_example() -> String {
    let mut text = String::from(
        "# Every setting of `api` and `mailer`, with its default. Copy to .env and change what you need.\n\
         # A secret X can also be given as X_FILE, the path of a file that holds it.\n",
    );
    for setting in SETTINGS {
        text.push('\n');
        for line in wrap(setting.description, 100) {
            let _ = writeln!(text, "# {line}"); // writing to a String cannot fail
        }
        if setting.secret {
            text.push_str("# A secret.\n");
        }
        let _ = writeln!(text, "#{}={}", setting.name, quoted(setting.default.unwrap_or_default()));
    }
    text
}

fn quoted(value: &str) -> String {
    if value.contains([' ', '#']) { format!("\"{value}\"") } else { value.to_owned() }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && line.len() + 1 + word.len() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
