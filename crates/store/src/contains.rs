//! Texts that contain another, in any case: also beyond ASCII, which neither SQLite nor PostgreSQL with the locale `C` folds.

use sea_orm::{
    DbBackend, ExprTrait,
    sea_query::{
        Expr,
        extension::{postgres::PgBinOper, sqlite::SqliteBinOper},
    },
};

/// SQL of whether `column` contains `text`.
pub(crate) fn contains(backend: DbBackend, column: Expr, text: &str) -> Expr {
    match backend {
        DbBackend::Postgres => column.binary(PgBinOper::Regex, Expr::value(regex(text))),
        _ => column.binary(SqliteBinOper::Glob, Expr::value(format!("*{}*", glob(text)))),
    }
}

/// A pattern of PostgreSQL in which nothing but letters of both cases is special.
fn regex(text: &str) -> String {
    pattern(text, |c| if c.is_ascii_punctuation() { format!("\\{c}") } else { c.to_string() })
}

/// The same for SQLite's `GLOB`.
fn glob(text: &str) -> String {
    pattern(text, |c| if matches!(c, '*' | '?' | '[') { format!("[{c}]") } else { c.to_string() })
}

fn pattern(text: &str, escaped: impl Fn(char) -> String) -> String {
    text.chars()
        .map(|c| match (only(c.to_lowercase()), only(c.to_uppercase())) {
            (Some(low), Some(high)) if low != high => format!("[{low}{high}]"),
            _ => escaped(c),
        })
        .collect()
}

/// The character, if it is one: a sharp s has no capital of one letter.
fn only(mut chars: impl Iterator<Item = char>) -> Option<char> {
    chars.next().filter(|_| chars.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_match_in_both_cases_and_signs_as_they_are() {
        assert_eq!(regex("a.É*1"), r"[aA]\.[éÉ]\*1");
        assert_eq!(glob("a*[ß]"), "[aA][*][[]ß]");
    }
}
