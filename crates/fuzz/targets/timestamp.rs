//! Every time that is read can be written, and is read back the same.
#![no_main]

use examhall_core::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(moment) = text.parse::<Timestamp>() else { return };
    assert_eq!(moment.to_string().parse(), Ok(moment));
    let json = serde_json::to_string(&moment).expect("it can be written");
    assert_eq!(serde_json::from_str::<Timestamp>(&json).expect("it can be read"), moment);
});
