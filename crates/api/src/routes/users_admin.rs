//! `/users` for administrators: found, given another role, locked, deleted, invited.

use actix_web::web;
use examhall_core::{EmailAddress, Locale, Profile, Role, Timestamp, UserId};
use examhall_store::{
    Account, Deleter, Listed, NewAccount, TokenPurpose, UserChange, UserFilter, UserSort, UserState, Versioned,
};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::mailed::{Message, bad_address, check_your_email, envelope, mail_token};
use crate::{
    access::{Allowed, may},
    auth::SecretToken,
    cache_keys::json_form::JsonForm,
    http::{
        authorized::Authorized,
        body::{JsonBody, OptionalBody},
        extract::{Id, IfMatch, Parameters},
        list::{Items, SearchText, SortOrder, SortedPaging},
        problem::Problem,
        respond::{Accepted, CreatedTagged, NoContent, Tagged},
        text::{is_address, is_name, is_one_line},
    },
    mail::{INVITATION_LIFE, MailTemplate, VERIFICATION_LIFE},
    openapi::{Operation, delete, get, patch, post},
    state::{State, now},
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/users", "listUsers", "Find accounts, newest first unless sorted otherwise", all),
        post("/users", "inviteUser", "Invite somebody by mail", invite),
        get("/users/{id}", "readUser", "Read an account", read),
        patch("/users/{id}", "changeUser", "Change role or name of an account", change),
        delete("/users/{id}", "deleteUser", "Delete an account", remove),
        post("/users/{id}/lock", "lockUser", "Lock an account", lock),
        post("/users/{id}/unlock", "unlockUser", "Unlock an account", unlock),
        post("/users/{id}/resend", "resendToUser", "Send verification mail or invitation again", resend),
    ]
}

/// An account as administrators see it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "User")]
struct UserView {
    id: UserId,
    email: EmailAddress,
    name: String,
    role: Role,
    status: Status,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    locked_at: Option<Timestamp>,
}

impl JsonForm for UserView {}

#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "UserStatus")]
enum Status {
    /// Its owner can log in.
    Active,
    /// Its address is not proven.
    Unverified,
    /// An administrator has locked it.
    Locked,
    /// It was deleted: what others must keep of it names nobody.
    Deleted,
}

/// Which accounts are wanted.
#[derive(Deserialize, JsonSchema)]
struct Wanted {
    /// Those of this role.
    role: Option<Role>,
    /// Those in this state.
    status: Option<Status>,
    /// Those whose name or address contains this, in any case.
    q: Option<SearchText>,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[schemars(inline)]
enum UserOrder {
    #[serde(rename = "createdAt")]
    Oldest,
    #[default]
    #[serde(rename = "-createdAt")]
    Newest,
    #[serde(rename = "name")]
    Name,
    #[serde(rename = "-name")]
    NameDown,
    #[serde(rename = "email")]
    Email,
    #[serde(rename = "-email")]
    EmailDown,
}

/// Somebody to be invited.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = json!({"email": "grace@example.com", "name": "Grace Hopper", "role": "author"}))]
struct Invitation {
    #[garde(custom(is_address))]
    #[schemars(with = "EmailAddress")]
    email: String,
    #[garde(length(chars, min = 1, max = Profile::MAX_NAME), custom(is_name))]
    name: String,
    #[garde(skip)]
    role: Role,
    /// Language of mails to the account.
    #[garde(skip)]
    locale: Option<Locale>,
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = json!({"role": "author"}))]
struct UserEdit {
    #[garde(skip)]
    role: Option<Role>,
    #[garde(length(chars, min = 1, max = Profile::MAX_NAME), inner(custom(is_name)))]
    name: Option<String>,
}

#[derive(Default, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LockReason {
    /// For the record.
    #[garde(length(chars, min = 1, max = 500), inner(custom(is_one_line)))]
    reason: Option<String>,
}

impl SortOrder for UserOrder {
    type Sort = UserSort;

    fn parts(self) -> (UserSort, bool) {
        match self {
            Self::Oldest => (UserSort::Created, false),
            Self::Newest => (UserSort::Created, true),
            Self::Name => (UserSort::Name, false),
            Self::NameDown => (UserSort::Name, true),
            Self::Email => (UserSort::Email, false),
            Self::EmailDown => (UserSort::Email, true),
        }
    }
}

impl From<Account> for UserView {
    fn from(account: Account) -> Self {
        let status = match account.state() {
            UserState::Active => Status::Active,
            UserState::Unverified => Status::Unverified,
            UserState::Locked => Status::Locked,
            UserState::Deleted => Status::Deleted,
        };
        let Account { id, email, name, role, created_at, locked_at, .. } = account;
        Self { id, email, name, role, status, created_at, locked_at }
    }
}

impl From<Status> for UserState {
    fn from(status: Status) -> Self {
        match status {
            Status::Active => Self::Active,
            Status::Unverified => Self::Unverified,
            Status::Locked => Self::Locked,
            Status::Deleted => Self::Deleted,
        }
    }
}

async fn all(
    state: web::Data<State>,
    _: Allowed<may::ReadUsers>,
    Parameters(Wanted { role, status, q }): Parameters<Wanted>,
    SortedPaging(page): SortedPaging<UserOrder>,
) -> Result<web::Json<Items<UserView>>, Problem> {
    let filter = UserFilter { role, state: status.map(UserState::from), text: q.map(|SearchText(text)| text) };
    let Listed { items, next } = state.store.accounts.list(&filter, &page).await?;
    Ok(Items::sorted(Listed { items: items.into_iter().map(UserView::from).collect(), next }))
}

async fn read(
    state: web::Data<State>,
    _: Allowed<may::ReadUsers>,
    Id(id): Id<UserId>,
) -> Result<Tagged<UserView>, Problem> {
    Ok(answer(state.store.accounts.get(id).await?))
}

/// The account exists from now on, and can be used once its owner has chosen a password by the link in the mail.
async fn invite(
    state: web::Data<State>,
    Authorized(by, JsonBody(body)): Authorized<Allowed<may::InviteUser>, JsonBody<Invitation>>,
) -> Result<CreatedTagged<UserView>, Problem> {
    let (token, now) = (SecretToken::random(), now());
    let email = EmailAddress::parse(&body.email).map_err(bad_address)?;
    let account = NewAccount {
        email: email.clone(),
        name: body.name,
        password_hash: state.passwords.unusable().to_owned(),
        role: body.role,
        verified: false,
        locale: body.locale,
    };
    let kept = mail_token(&token, TokenPurpose::Reset, INVITATION_LIFE);
    let template = MailTemplate::AccountInvitation { token };
    let mail = state.mail_composer.envelope(email, &template, account.locale.as_ref(), now);
    let made = state.store.accounts.invite(&account, &kept, &mail, by.viewer.id, now).await?;
    state.wake.notify_one();
    let (id, version, view) = (made.value.id, made.version, UserView::from(made.value));
    tracing::info!(user_id = %id, "User invited");
    Ok(CreatedTagged::new(format!("/api/v1/users/{id}"), version, &view))
}

async fn change(
    state: web::Data<State>,
    Authorized(by, (Id(id), versions, JsonBody(body))): Authorized<
        Allowed<may::ChangeUser>,
        (Id<UserId>, IfMatch, JsonBody<UserEdit>),
    >,
) -> Result<Tagged<UserView>, Problem> {
    let expected = versions.expected(state.store.accounts.get(id).await?.version)?;
    let change = UserChange { role: body.role, name: body.name, ..UserChange::default() };
    Ok(answer(state.store.accounts.administer(id, &change, expected, by.viewer.id, now()).await?))
}

async fn lock(
    state: web::Data<State>,
    Authorized(by, (Id(id), OptionalBody(body))): Authorized<
        Allowed<may::LockUser>,
        (Id<UserId>, OptionalBody<LockReason>),
    >,
) -> Result<Tagged<UserView>, Problem> {
    let change = UserChange { locked: Some(true), reason: body.reason, ..UserChange::default() };
    Ok(answer(state.store.accounts.administer(id, &change, None, by.viewer.id, now()).await?))
}

async fn unlock(
    state: web::Data<State>,
    Authorized(by, (Id(id), OptionalBody(body))): Authorized<
        Allowed<may::UnlockUser>,
        (Id<UserId>, OptionalBody<LockReason>),
    >,
) -> Result<Tagged<UserView>, Problem> {
    let change = UserChange { locked: Some(false), reason: body.reason, ..UserChange::default() };
    Ok(answer(state.store.accounts.administer(id, &change, None, by.viewer.id, now()).await?))
}

async fn remove(
    state: web::Data<State>,
    by: Allowed<may::DeleteUser>,
    Id(id): Id<UserId>,
) -> Result<NoContent, Problem> {
    let now = now();
    let mail = |account: &Account| {
        let template = MailTemplate::AccountDeleted { name: account.name.clone() };
        envelope(&state, account, &template, None, now)
    };
    let by = Deleter::Admin(by.viewer.id);
    state.store.accounts.delete(id, by, state.passwords.unusable(), mail, now).await?;
    state.wake.notify_one();
    Ok(NoContent)
}

/// At most one in a minute. Who was invited gets the invitation again, who signed up the verification mail.
async fn resend(
    state: web::Data<State>,
    _: Allowed<may::ResendToUser>,
    Id(id): Id<UserId>,
) -> Result<Accepted<Message>, Problem> {
    let account = state.store.accounts.get(id).await?.value;
    if account.state() != UserState::Unverified {
        return Err(Problem::conflict("only accounts whose address is not proven wait for a mail"));
    }
    let (token, now) = (SecretToken::random(), now());
    let (purpose, life) = if account.role == Role::Student {
        (TokenPurpose::Verification, VERIFICATION_LIFE)
    } else {
        (TokenPurpose::Reset, INVITATION_LIFE)
    };
    let mail = |account: &Account| {
        let token = token.clone();
        let template = match purpose {
            TokenPurpose::Verification => MailTemplate::Verification { token },
            _ => MailTemplate::AccountInvitation { token },
        };
        envelope(&state, account, &template, None, now)
    };
    let kept = mail_token(&token, purpose, life);
    if state.store.accounts.mail_token(&account.email, &kept, mail, now).await? {
        state.wake.notify_one();
    }
    Ok(check_your_email())
}

fn answer(Versioned { version, value }: Versioned<Account>) -> Tagged<UserView> {
    Tagged { version, body: value.into() }
}
