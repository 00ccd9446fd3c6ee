//! Comma-separated values (RFC 4180), for spreadsheets.

/// What a file begins with, so that spreadsheets read it as UTF-8.
pub(crate) const BOM: &str = "\u{feff}";

/// One line of them.
pub(crate) fn line(fields: &[&str]) -> String {
    let fields: Vec<_> = fields.iter().map(|text| field(text)).collect();
    fields.join(",") + "\r\n"
}

fn field(text: &str) -> String {
    // A spreadsheet would compute it, and a student chooses their own name.
    let text = if is_formula(text) && !is_number(text) { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', ';', '\t', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// Whether a spreadsheet may take it for a formula: in full-width and small signs too, and behind what is not seen.
fn is_formula(text: &str) -> bool {
    let seen = text.trim_start_matches(|c: char| c.is_whitespace() || c.is_control() || is_invisible(c));
    let signs = ['=', '+', '-', '@', '＝', '＋', '－', '＠', '﹦', '﹢', '﹣', '﹫', '−'];
    text.starts_with(['\t', '\r', '\n']) || seen.starts_with(signs)
}

fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Digits with a sign, a point and an exponent at most: "-inf" is none.
fn is_number(text: &str) -> bool {
    text.ends_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || ['+', '-', '.', 'e', 'E'].contains(&c))
        && text.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use std::{io::Write, process};

    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(line(&["a", "b c", "1.5"]), "a,b c,1.5\r\n");
        assert_eq!(line(&["a,b", "say \"hi\"", "x\ny"]), "\"a,b\",\"say \"\"hi\"\"\",\"x\ny\"\r\n");
    }

    #[test]
    fn a_name_cannot_be_a_formula_in_any_spelling() {
        assert_eq!(line(&["=1+1", "@SUM(A1)", "-2", "-x", "+1"]), "'=1+1,'@SUM(A1),-2,'-x,+1\r\n");
        for before in
            ["", " ", "\t", "\r", "\n", "\u{a0}", "\u{3000}", "\u{feff}", "\u{200b}", "\u{202e}", "\0", " \u{ad} "]
        {
            for sign in "=+-@＝＋－＠﹦﹢﹣﹫".chars() {
                let text = format!("{before}{sign}cmd");
                assert!(field(&text).trim_start_matches('"').starts_with('\''), "{text:?}");
            }
        }
        for number in ["-2", "+1", "-0.5", "-1e-7", "12"] {
            assert_eq!(field(number), number);
        }
        for text in ["-inf", "+nan", "-infinity"] {
            assert_eq!(field(text), format!("'{text}"));
        }
    }

    #[test]
    fn python_reads_back_what_was_written() {
        let fields = ["\tx", "a,\"b\"", "x\r\ny", "Zoë", "＝1", "-2", "a;b"];
        let script = "import csv,io,json,sys\n\
                      text = sys.stdin.buffer.read().decode('utf-8-sig')\n\
                      print(json.dumps(list(csv.reader(io.StringIO(text, newline='')))))";
        let mut python = process::Command::new("python3")
            .args(["-c", script])
            .stdin(process::Stdio::piped())
            .stdout(process::Stdio::piped())
            .spawn()
            .expect("Python");
        let file = format!("{BOM}{}", line(&fields));
        python.stdin.take().expect("a pipe").write_all(file.as_bytes()).expect("written");
        let output = python.wait_with_output().expect("an end");
        let rows: Vec<Vec<String>> = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(rows, [["'\tx", "a,\"b\"", "x\r\ny", "Zoë", "'＝1", "-2", "a;b"]]);
    }
}
