//! Whatever a mail server says is a reply or no reply, in bounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|said: &[u8]| examhall_mailer::fuzzing::smtp_reply(said));
