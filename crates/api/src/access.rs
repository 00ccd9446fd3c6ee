//! Who may do what to mails, the queue and the cache: one table, for the JSON routes and the console.

use std::marker::PhantomData;

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use examhall_core::{Role, Viewer};

use crate::{
    http::{extract::LoggedIn, problem::Problem},
    openapi::{Access, Description, Input},
};

const VIEWERS: &[Role] = &[Role::Viewer, Role::Operator, Role::Admin];
const OPERATORS: &[Role] = &[Role::Operator, Role::Admin];
const ADMINS: &[Role] = &[Role::Admin];

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident, $word:literal, $roles:ident;)*) => {
        /// What somebody may do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            /// The word of the audit trail.
            pub(crate) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            const fn roles(self) -> &'static [Role] {
                match self {
                    $(Self::$name => <may::$name as Permission>::ROLES,)*
                }
            }
        }

        /// The actions as types, for [`Allowed`].
        pub(crate) mod may {
            $($(#[$doc])* pub(crate) enum $name {}

            impl super::Permission for $name {
                const ACTION: super::Action = super::Action::$name;
                const ROLES: &'static [super::Role] = super::$roles;
            })*
        }
    };
}

actions! {
    /// See how the queue is.
    ReadQueue, "read queue", VIEWERS;
    /// See mails: where to, their subject, and what became of them.
    ReadMails, "read mails", VIEWERS;
    /// See which addresses are suppressed.
    ReadSuppressions, "read suppressions", VIEWERS;
    /// See the mailers and their providers.
    ReadMailers, "read mailers", VIEWERS;
    /// See the cache.
    ReadCache, "read cache", VIEWERS;
    /// See what mails look like, with sample data.
    PreviewMails, "preview mails", VIEWERS;
    /// Stop the sending of mails.
    PauseQueue, "pause", OPERATORS;
    /// Go on with it.
    ResumeQueue, "resume", OPERATORS;
    /// Try failed mails again.
    RetryMails, "retry", OPERATORS;
    /// Send delayed mails now.
    PromoteMails, "promote", OPERATORS;
    /// Remove mails from the queue.
    RemoveMails, "remove", OPERATORS;
    /// Send mails that are held.
    ReleaseMails, "release", OPERATORS;
    /// Give up mails that are held.
    DropMails, "drop", OPERATORS;
    /// Send a copy of a mail that was sent.
    ResendMails, "resend", OPERATORS;
    /// Send no more mails to an address.
    SuppressAddresses, "suppress", OPERATORS;
    /// Send mails to an address again.
    LiftSuppressions, "lift", OPERATORS;
    /// Let addresses be suppressed that are held.
    ConfirmSuppressions, "confirm", OPERATORS;
    /// Remove entries of the cache.
    InvalidateCache, "invalidate", OPERATORS;
    /// Write a mail.
    SendMail, "send", ADMINS;
    /// See what operators did.
    ReadAudit, "read audit", ADMINS;
    /// See accounts.
    ReadUsers, "read users", ADMINS;
    /// Give an account another role or name.
    ChangeUser, "change user", ADMINS;
    /// Lock an account.
    LockUser, "lock user", ADMINS;
    /// Unlock an account.
    UnlockUser, "unlock user", ADMINS;
    /// Delete an account.
    DeleteUser, "delete user", ADMINS;
    /// Invite somebody.
    InviteUser, "invite user", ADMINS;
    /// Send verification mail or invitation again.
    ResendToUser, "resend to user", ADMINS;
}

impl Action {
    /// Whether an account of this role may do it.
    pub(crate) fn is_allowed(self, role: Role) -> bool {
        self.roles().contains(&role)
    }

    /// Returns an error that says who may, unless `viewer` may do it.
    pub(crate) fn check(self, viewer: Viewer) -> Result<(), Problem> {
        match self.roles() {
            roles if roles.contains(&viewer.role) => Ok(()),
            ADMINS => Err(Problem::forbidden("only administrators may do this")),
            OPERATORS => Err(Problem::forbidden("only operators and administrators may do this")),
            _ => Err(Problem::forbidden("only viewers, operators and administrators may see this")),
        }
    }
}

/// An action as a type.
pub(crate) trait Permission: 'static {
    /// Which one.
    const ACTION: Action;
    /// Who may do it.
    const ROLES: &'static [Role];
}

/// Somebody who has logged in and may do `P`.
pub(crate) struct Allowed<P> {
    pub(crate) viewer: Viewer,
    permission: PhantomData<P>,
}

impl<P: Permission> FromRequest for Allowed<P> {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let allowed = LoggedIn::from_request(request, payload).into_inner().and_then(|LoggedIn(viewer)| {
            P::ACTION.check(viewer)?;
            Ok(Self { viewer, permission: PhantomData })
        });
        std::future::ready(allowed)
    }
}

impl<P: Permission> Input for Allowed<P> {
    fn describe(description: &mut Description) {
        description.access(Access::Operations(P::ACTION.roles()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each action: student, author, viewer, operator, admin.
    #[test]
    fn each_role_may_do_what_the_table_says() {
        let table = [
            ("read queue", [false, false, true, true, true]),
            ("read mails", [false, false, true, true, true]),
            ("read suppressions", [false, false, true, true, true]),
            ("read mailers", [false, false, true, true, true]),
            ("read cache", [false, false, true, true, true]),
            ("preview mails", [false, false, true, true, true]),
            ("pause", [false, false, false, true, true]),
            ("resume", [false, false, false, true, true]),
            ("retry", [false, false, false, true, true]),
            ("promote", [false, false, false, true, true]),
            ("remove", [false, false, false, true, true]),
            ("release", [false, false, false, true, true]),
            ("drop", [false, false, false, true, true]),
            ("resend", [false, false, false, true, true]),
            ("suppress", [false, false, false, true, true]),
            ("lift", [false, false, false, true, true]),
            ("confirm", [false, false, false, true, true]),
            ("invalidate", [false, false, false, true, true]),
            ("send", [false, false, false, false, true]),
            ("read audit", [false, false, false, false, true]),
            ("read users", [false, false, false, false, true]),
            ("change user", [false, false, false, false, true]),
            ("lock user", [false, false, false, false, true]),
            ("unlock user", [false, false, false, false, true]),
            ("delete user", [false, false, false, false, true]),
            ("invite user", [false, false, false, false, true]),
            ("resend to user", [false, false, false, false, true]),
        ];
        let found: Vec<_> = Action::ALL
            .iter()
            .map(|action| {
                let viewer = |role| Viewer { id: examhall_core::UserId(uuid::Uuid::nil()), role };
                let allowed = Role::ALL.map(|role| action.is_allowed(role));
                assert_eq!(Role::ALL.map(|role| action.check(viewer(role)).is_ok()), allowed);
                (action.as_str(), allowed)
            })
            .collect();
        assert_eq!(found, table);
    }
}
