//! Lists in an order of the caller's choice (keyset pagination): a page begins after a sort key and an id, not after a number of
//! rows. So rows that are added or removed while somebody pages neither repeat others nor hide them.

use sea_orm::{
    EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, Select,
    sea_query::{Expr, Func, Order},
};
use uuid::Uuid;

use crate::Listed;

/// What a list is sorted by; rows with equal keys by their ids.
pub trait Sort: Copy {
    /// Kind of its keys.
    fn kind(self) -> KeyKind;
}

/// Kind of a sort key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// The id alone, and so the age.
    Id,
    /// A text, in any case.
    Text,
    /// A number, or a moment in ms since 1970.
    Number,
}

/// What a row is sorted by before its id.
#[derive(Clone, Debug, PartialEq)]
pub enum SortKey {
    /// A text.
    Text(String),
    /// A number.
    Number(f64),
}

/// A row's place in a sorted list, also once the row is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    /// Its sort key; absent where the list is sorted by id.
    pub key: Option<SortKey>,
    /// Its id.
    pub id: Uuid,
}

/// Which part of a sorted list is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct SortedPage<S> {
    /// What it is sorted by.
    pub sort: S,
    /// Whether the highest come first.
    pub is_descending: bool,
    /// How many rows at most; at least 1.
    pub limit: u64,
    /// The last row of the page before; the beginning where absent.
    pub after: Option<Position>,
}

/// SQL by which texts are sorted.
pub(crate) fn text_key(text: impl Into<Expr>) -> Expr {
    Func::lower(text).into()
}

impl SortKey {
    fn sql(&self) -> Expr {
        match self {
            Self::Text(text) => text_key(Expr::value(text.as_str())),
            Self::Number(number) => Expr::value(*number),
        }
    }
}

impl<S> SortedPage<S> {
    /// The rows of this page, and one more: `key` is SQL of the sort key, absent where they are sorted by id.
    pub(crate) fn select<E: EntityTrait>(&self, found: Select<E>, key: Option<Expr>, id: E::Column) -> Select<E> {
        let id = || Expr::col((E::default(), id));
        let beyond = |column: Expr, value: Expr| if self.is_descending { column.lt(value) } else { column.gt(value) };
        let order = if self.is_descending { Order::Desc } else { Order::Asc };
        let mut found = found;
        if let Some(after) = &self.after {
            let next = beyond(id(), Expr::value(after.id));
            found = found.filter(match (&key, &after.key) {
                (Some(key), Some(last)) => beyond(key.clone(), last.sql()).or(key.clone().eq(last.sql()).and(next)),
                _ => next,
            });
        }
        if let Some(key) = key {
            found = found.order_by(key, order.clone());
        }
        found.order_by(id(), order).limit(Ord::max(self.limit, 1) + 1)
    }

    /// Cuts off the row too many.
    pub(crate) fn cut<T>(&self, mut items: Vec<T>, position_of: impl Fn(&T) -> Position) -> Listed<T, Position> {
        let limit = usize::try_from(Ord::max(self.limit, 1)).unwrap_or(usize::MAX);
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_more).map(position_of);
        Listed { items, next }
    }
}
