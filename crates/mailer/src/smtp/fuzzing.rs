//! Fuzz targets of the SMTP dialogue: see `crates/fuzz`.

use std::{io::Cursor, time::Duration};

use tokio::{io, runtime::Builder};

use super::wire::Wire;

/// Reads all replies.
///
/// # Panics
/// Panics if a reply breaks an invariant.
pub fn smtp_reply(said: &[u8]) {
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let mut wire = Wire::new(io::join(Cursor::new(said.to_vec()), io::sink()));
        while let Ok(reply) = wire.reply(Duration::from_secs(1)).await {
            assert!((200..=599).contains(&reply.code), "{}", reply.code);
            let kinds = [reply.is_done(), reply.is_go_on(), reply.is_refusal()];
            assert_eq!(kinds.into_iter().filter(|is| *is).count(), 1, "{reply}");
            assert!(!reply.is_final() || reply.is_refusal());
            let _ = (reply.codes(), reply.detail(), reply.closes());
        }
    });
}
