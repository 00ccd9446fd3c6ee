//! Which migration is next: a pure decision.

use std::collections::BTreeSet;

/// What to do with one migration, by its place in the list of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// Apply it.
    Up(usize),
    /// Take it back.
    Down(usize),
}

/// Returns the next move on the way to the first `target` of the `known` migrations and no others; `None` if the tables
/// are there. What is too much is taken back first, latest first.
pub(crate) fn next(known: &[String], applied: &BTreeSet<String>, target: usize) -> Option<Move> {
    let is_applied = |at: &usize| known.get(*at).is_some_and(|name| applied.contains(name));
    let back = (target..known.len()).rev().find(is_applied).map(Move::Down);
    back.or_else(|| (0..target.min(known.len())).find(|at| !is_applied(at)).map(Move::Up))
}

/// Finds a migration by its name, or by the part before the first `_`, such as `m0008`.
pub(crate) fn find(known: &[String], step: &str) -> Option<usize> {
    known.iter().position(|name| name == step || name.split('_').next() == Some(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
        numbers.into_iter().map(|number| format!("m{number:04}_step")).collect()
    }

    #[test]
    fn what_is_too_much_goes_first_and_gaps_are_filled() {
        let known = names(1..=4);
        let next =
            |applied: &[u32], target| next(&known, &names(applied.iter().copied()).into_iter().collect(), target);
        assert_eq!(next(&[], 4), Some(Move::Up(0)));
        assert_eq!(next(&[1, 2, 4], 4), Some(Move::Up(2)), "one that was released late");
        assert_eq!(next(&[1, 2, 3, 4], 4), None);
        assert_eq!(next(&[1, 2, 3, 4], 2), Some(Move::Down(3)));
        assert_eq!(next(&[1, 4], 2), Some(Move::Down(3)));
        assert_eq!(next(&[1], 2), Some(Move::Up(1)));
        assert_eq!(next(&[1, 2, 9], 2), None, "those of a newer version are not touched");
        assert_eq!(next(&[1], 0), Some(Move::Down(0)));
    }

    #[test]
    fn a_step_is_found_by_name_and_number() {
        let known = names(8..=11);
        assert_eq!(find(&known, "m0009_step"), Some(1));
        assert_eq!(find(&known, "m0009"), Some(1));
        for unknown in ["", "m000", "m00099", "9", "step", "M0009"] {
            assert_eq!(find(&known, unknown), None, "{unknown}");
        }
    }
}
