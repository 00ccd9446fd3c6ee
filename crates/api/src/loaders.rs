//! Loaders of the cached values, from the database.

use examhall_cache::Fresh;
use examhall_core::{ExamId, Profile, QuestionId, ResultId, UserId};
use examhall_store::{Account, Error, Store, Versioned};

use crate::{
    cache_keys::{ExamKey, ProfileKey, QuestionKey, QuestionSheetKey, ResultKey},
    state::now,
};

type Loaded<K> = Result<Option<Fresh<K>>, Error>;

/// Loads the value of an [`ExamKey`].
pub(crate) async fn load_exam(store: Store, id: ExamId) -> Loaded<ExamKey> {
    let Some(Versioned { version, value: exam }) = found(store.exams.get(id).await)? else { return Ok(None) };
    let (head, pin) = (exam.access(), exam.access().pinned_for(now()));
    Ok(Some(Fresh { pin, ..Fresh::new(version, head, exam) }))
}

/// Loads the value of a [`QuestionSheetKey`].
pub(crate) async fn load_sheet(store: Store, id: ExamId) -> Loaded<QuestionSheetKey> {
    let Some((exam, sheet)) = found(store.exams.sheet(id).await)? else { return Ok(None) };
    let (head, pin) = (exam.access(), exam.access().pinned_for(now()));
    Ok(Some(Fresh { pin, ..Fresh::new(sheet.version, head, sheet) }))
}

/// Loads the value of a [`QuestionKey`].
pub(crate) async fn load_question(store: Store, id: QuestionId) -> Loaded<QuestionKey> {
    let Some(found) = found(store.questions.student_view(id).await)? else { return Ok(None) };
    let Versioned { version, value: (exam, question) } = found;
    Ok(Some(Fresh { pin: exam.access().pinned_for(now()), ..Fresh::new(version, exam.id, question) }))
}

/// Loads the value of a [`ResultKey`].
pub(crate) async fn load_result(store: Store, id: ResultId) -> Loaded<ResultKey> {
    let Some(found) = found(store.results.get(id).await)? else { return Ok(None) };
    let Versioned { version, value: (result, head) } = found;
    Ok(Some(Fresh::new(version, head, result)))
}

/// Loads the value of a [`ProfileKey`].
pub(crate) async fn load_profile(store: Store, id: UserId) -> Loaded<ProfileKey> {
    let Some(Versioned { version, value: account }) = found(store.accounts.get(id).await)? else { return Ok(None) };
    let Account { id, name, role, .. } = account;
    Ok(Some(Fresh::new(version, (), Profile { id, name, role })))
}

fn found<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}
