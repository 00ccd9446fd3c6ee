//! Lists, a page at a time: each begins after the last row of the one before, so none is slower than the first.

use uuid::Uuid;

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many rows at most; at least 1.
    pub limit: u64,
    /// The last row of the page before; the beginning where absent.
    pub after: Option<Uuid>,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed<T, P = Uuid> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last one.
    pub next: Option<P>,
}

impl Page {
    /// One row more than wanted: it shows whether there is another page.
    pub(crate) fn fetch(self) -> u64 {
        self.limit.max(1) + 1
    }

    /// Cuts off the row too many.
    pub(crate) fn cut<T>(self, mut items: Vec<T>, id_of: impl Fn(&T) -> Uuid) -> Listed<T> {
        let limit = usize::try_from(self.limit.max(1)).unwrap_or(usize::MAX);
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_more).map(id_of);
        Listed { items, next }
    }
}
