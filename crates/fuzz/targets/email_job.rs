//! Job data of any producer is refused with a reason or makes a mail that every server can take.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| examhall_mailer::fuzzing::email_job(data));
