//! One operation: its route and its description in one value, so neither is there without the other.

use actix_web::{FromRequest, Handler, Responder, Route, http::Method, web};

use super::{
    description::{Access, Answer, Description, Input},
    schemas::Schemas,
};

/// One operation of the API. What it takes and answers is read off the types of its handler.
pub(crate) struct Operation {
    pub(crate) method: Method,
    /// Below `/api/v1`.
    pub(crate) path: &'static str,
    pub(crate) route: Route,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) describe: fn(&mut Description),
}

impl Operation {
    /// Returns whether those who run the platform change something with it.
    pub(crate) fn is_write_of_operators(&self) -> bool {
        let mut schemas = Schemas::new();
        let mut description = Description::new(&mut schemas);
        (self.describe)(&mut description);
        !self.method.is_safe() && matches!(description.who(), Some(Access::Operations(_)))
    }
}

macro_rules! methods {
    ($($name:ident: $method:ident;)*) => {$(
        /// An operation with this method.
        pub(crate) fn $name<H, I>(path: &'static str, id: &'static str, summary: &'static str, handler: H) -> Operation
        where
            H: Handler<I, Output: Responder + Answer + 'static>,
            I: FromRequest + Input + 'static,
        {
            Operation {
                method: Method::$method,
                path,
                route: web::method(Method::$method).to(handler),
                id,
                summary,
                describe: describe::<I, H::Output>,
            }
        }
    )*};
}

methods! {
    get: GET;
    post: POST;
    put: PUT;
    patch: PATCH;
    delete: DELETE;
}

fn describe<I: Input, A: Answer>(description: &mut Description) {
    I::describe(description);
    A::describe(description);
}
