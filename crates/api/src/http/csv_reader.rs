//! Reads comma-separated values (RFC 4180), also with the semicolons or tabs of spreadsheets.

/// The lines of a file that are not empty, each with its number from 1 and its fields.
pub(crate) fn lines(text: &str) -> Vec<(usize, Vec<String>)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let head = text.lines().next().unwrap_or_default();
    let separator = [',', ';', '\t'].into_iter().max_by_key(|one| (head.matches(*one).count(), *one == ','));
    let mut reader = Reader { separator: separator.unwrap_or(','), ..Reader::default() };
    text.chars().for_each(|c| reader.take(c));
    reader.end_line();
    reader.lines
}

#[derive(Default)]
struct Reader {
    separator: char,
    lines: Vec<(usize, Vec<String>)>,
    fields: Vec<String>,
    field: String,
    is_quoted: bool,
    /// A quote in quotes: it ends them, or is doubled.
    is_at_quote: bool,
    /// Of line breaks before.
    breaks: usize,
    /// Of those before the line began.
    began_after: usize,
}

impl Reader {
    fn take(&mut self, c: char) {
        if c == '\n' {
            self.breaks += 1;
        }
        if self.is_at_quote && c != '"' {
            (self.is_quoted, self.is_at_quote) = (false, false);
        }
        match c {
            '"' if self.is_at_quote => {
                self.field.push('"');
                self.is_at_quote = false;
            }
            '"' if self.is_quoted => self.is_at_quote = true,
            '"' if self.field.trim().is_empty() => {
                self.field.clear();
                self.is_quoted = true;
            }
            c if self.is_quoted => self.field.push(c),
            '\n' => self.end_line(),
            c if c == self.separator => self.end_field(),
            c => self.field.push(c),
        }
    }

    fn end_field(&mut self) {
        self.fields.push(std::mem::take(&mut self.field).trim().to_owned());
    }

    fn end_line(&mut self) {
        self.end_field();
        let fields = std::mem::take(&mut self.fields);
        if fields.iter().any(|field| !field.is_empty()) {
            self.lines.push((self.began_after + 1, fields));
        }
        self.began_after = self.breaks;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(usize, &[&str])]) {
        let found = lines(text);
        let found: Vec<(usize, Vec<&str>)> =
            found.iter().map(|(n, fields)| (*n, fields.iter().map(String::as_str).collect())).collect();
        let expected: Vec<(usize, Vec<&str>)> = expected.iter().map(|(n, fields)| (*n, fields.to_vec())).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn files_of_spreadsheets_are_read() {
        check("", &[]);
        check("a,b\r\n\r\nc, d \n", &[(1, &["a", "b"]), (3, &["c", "d"])]);
        check("\u{feff}a;b,c\nd;e", &[(1, &["a;b", "c"]), (2, &["d;e"])]);
        check("email;name\na@x.example;Ada", &[(1, &["email", "name"]), (2, &["a@x.example", "Ada"])]);
        check("a\tb\n", &[(1, &["a", "b"])]);
        check("\"a,\"\"b\"\"\",\"x\ny\"\nc,d", &[(1, &["a,\"b\"", "x\ny"]), (3, &["c", "d"])]);
        check("a\"b,\"c", &[(1, &["a\"b", "c"])]);
    }
}
