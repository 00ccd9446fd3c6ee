//! Seats follow the account that their address is of: to another address, back, and to its end.

use examhall_core::{EmailAddress, UserId};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait, Statement, Value,
    sea_query::{Expr, LockType, SelectStatement},
};

use crate::{
    Error,
    entity::{exam, seat, seat::Column, user},
};

/// Which seats of an address move with its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moving {
    /// All that are for the address.
    Forward,
    /// Those that came to the address with the account, and not those that an author has given to the address itself.
    Back,
}

/// Moves seats to another address of the account, which is locked. In an exam that has a seat for each of the addresses, the
/// one for the other address becomes the account's.
pub(crate) async fn move_seats(
    tx: &DatabaseTransaction,
    user: UserId,
    [from, to]: [&EmailAddress; 2],
    moving: Moving,
) -> Result<(), Error> {
    let (former, now) = (from.canonical(), to.canonical());
    if former == now {
        return Ok(());
    }
    let bound = Column::UserId.eq(user.0);
    let is_theirs = if moving == Moving::Back { bound } else { bound.or(Column::UserId.is_null()) };
    let of_account = || Column::EmailKey.eq(former.as_str()).and(is_theirs.clone());
    lock_exams(tx, of_account()).await?;
    note_former(tx, user, [&former, &now], moving).await?;
    // What other exams have: the other address is on their rosters, too.
    let exams = |key: &str| -> SelectStatement {
        seat::Entity::find().filter(Column::EmailKey.eq(key)).select_only().column(Column::ExamId).into_query()
    };
    let is_taken = Column::EmailKey.eq(now.as_str()).and(Column::UserId.is_null());
    seat::Entity::update_many()
        .col_expr(Column::UserId, Expr::value(user.0))
        .filter(is_taken.and(Column::ExamId.in_subquery(exams(&former))))
        .exec(tx)
        .await?;
    let is_double = of_account().and(Column::ExamId.in_subquery(exams(&now)));
    seat::Entity::delete_many().filter(is_double).exec(tx).await?;
    seat::Entity::update_many()
        .col_expr(Column::Email, Expr::value(to.as_str()))
        .col_expr(Column::EmailKey, Expr::value(now.as_str()))
        .col_expr(Column::UserId, Expr::value(user.0))
        .filter(of_account())
        .exec(tx)
        .await?;
    Ok(())
}

/// Notes the address that seats leave, and those that they left before, for the seat that stays of each exam.
async fn note_former(
    tx: &DatabaseTransaction,
    user: UserId,
    [former, now]: [&str; 2],
    moving: Moving,
) -> Result<(), Error> {
    let unbound = if moving == Moving::Back { "" } else { " OR moved.user_id IS NULL" };
    let is_theirs = format!("moved.email_key = $1 AND (moved.user_id = $3{unbound})");
    let once = "ON CONFLICT DO NOTHING";
    let earlier = format!(
        "INSERT INTO former_addresses (seat_id, email_key) SELECT stays.id, earlier.email_key FROM seats moved \
         JOIN former_addresses earlier ON earlier.seat_id = moved.id \
         JOIN seats stays ON stays.exam_id = moved.exam_id AND stays.email_key = $2 WHERE {is_theirs} {once}"
    );
    let left = format!(
        "INSERT INTO former_addresses (seat_id, email_key) SELECT stays.id, $1 FROM seats moved \
         JOIN seats stays ON stays.exam_id = moved.exam_id AND stays.email_key IN ($1, $2) WHERE {is_theirs} {once}"
    );
    let backend = tx.get_database_backend();
    for sql in [earlier, left] {
        let values: [Value; 3] = [former.into(), now.into(), user.0.into()];
        tx.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    }
    Ok(())
}

/// Takes every seat of an account that ends. It is locked.
pub(crate) async fn end_seats(tx: &DatabaseTransaction, account: &user::Model) -> Result<(), Error> {
    let theirs = Column::EmailKey.eq(account.email_key.as_str()).or(Column::UserId.eq(account.id));
    seat::Entity::delete_many().filter(theirs).exec(tx).await?;
    Ok(())
}

/// A roster that is filled at the same time comes before or after.
async fn lock_exams(tx: &DatabaseTransaction, seats: Expr) -> Result<(), Error> {
    let of_seats = seat::Entity::find().filter(seats).select_only().column(Column::ExamId).into_query();
    let exams = exam::Entity::find().select_only().column(exam::Column::Id).order_by_asc(exam::Column::Id);
    let exams = exams.filter(exam::Column::Id.in_subquery(of_seats)).lock(LockType::Share);
    exams.into_tuple::<uuid::Uuid>().all(tx).await?;
    Ok(())
}
