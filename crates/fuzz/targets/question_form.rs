//! A question in a body is refused with a place and a reason, or is written as it was read and shows students no key.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| examhall_api::fuzzing::question_form(body));
