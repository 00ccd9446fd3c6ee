//! Who is logged in, and may do what the page is for.

use std::marker::PhantomData;

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use examhall_core::Viewer;
use examhall_store::Account;
use futures_util::future::LocalBoxFuture;

use super::{page::Page, session};
use crate::{
    access::{Action, Permission},
    audit::{self, Done},
    http::problem::Problem,
    state::State,
};

/// Somebody who is logged in to the console and may do `P`. A write counts for the limit of writes.
///
/// With a body: `Authorized<Console<P>, web::Form<T>>`, so that rights are decided before the body is read.
pub(crate) struct Console<P> {
    pub(crate) state: web::Data<State>,
    pub(crate) account: Account,
    request: HttpRequest,
    permission: PhantomData<P>,
}

impl<P: Permission> FromRequest for Console<P> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let state = state(&request)?;
            let account = session::find(&state, &request).await?.account;
            let viewer = Viewer { id: account.id, role: account.role };
            P::ACTION.check(viewer)?;
            if !request.method().is_safe() {
                state.limits.write(viewer)?;
            }
            Ok(Self { state, account, request, permission: PhantomData })
        })
    }
}

impl<P: Permission> Console<P> {
    /// The frame of a page.
    pub(crate) fn page(&self, title: impl Into<String>) -> Page {
        Page::of(&self.state.site, title.into(), &self.account, &self.request)
    }

    /// Records what was done.
    pub(crate) async fn record(&self, done: Done) {
        audit::record_as(&self.state, self.account.id, P::ACTION, done).await;
    }

    /// Whether they may do something else, too.
    pub(crate) fn may(&self, action: Action) -> bool {
        action.is_allowed(self.account.role)
    }
}

/// What all requests share.
pub(super) fn state(request: &HttpRequest) -> Result<web::Data<State>, Problem> {
    let state = request.app_data::<web::Data<State>>().cloned();
    state.ok_or_else(|| Problem::internal(&"the application has no state"))
}
