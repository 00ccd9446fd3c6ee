//! The end of a connection.

use std::{any::Any, cell::Cell, rc::Rc};

use actix_web::dev::Extensions;

/// What all requests of a connection share: whether one of them has been answered as the last.
///
/// actix answers what a client has sent after that, too. Such a request must not be done (RFC 9112, section 9.6): its
/// client sends it again on another connection.
#[derive(Clone, Default)]
pub(crate) struct Connection(Rc<Cell<bool>>);

impl Connection {
    /// Begins with each connection.
    pub(crate) fn open(_: &dyn Any, data: &mut Extensions) {
        data.insert(Self::default());
    }

    pub(super) fn end(&self) {
        self.0.set(true);
    }

    pub(super) fn is_ending(&self) -> bool {
        self.0.get()
    }
}
