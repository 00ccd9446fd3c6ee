//! The Lua scripts: one constant each, written for this crate from the facts of BullMQ's layout.

use std::sync::LazyLock;

/// A Lua script and the name under which Redis keeps it.
pub(crate) struct Script {
    source: &'static str,
    sha: LazyLock<String>,
}

macro_rules! script {
    ($name:ident = $($part:literal)+) => {
        pub(crate) static $name: Script = Script {
            source: concat!($(include_str!(concat!("lua/", $part, ".lua"))),+),
            sha: LazyLock::new(|| fred::util::sha1_hash($name.source)),
        };
    };
}

script!(ADD = "lib" "add");
script!(ADOPT = "lib" "adopt");
script!(BURY = "lib" "recover_lib" "bury");
script!(COUNTS = "lib" "counts");
script!(EXCHANGE = "lib" "job_lib" "exchange");
script!(EXTEND = "lib" "extend");
script!(LIMIT = "limit");
script!(LOG = "lib" "log");
script!(PROGRESS = "lib" "progress");
script!(RECOVER = "lib" "recover_lib" "recover");
script!(SUSPECTS = "lib" "suspects");

impl Script {
    pub(crate) fn source(&self) -> &'static str {
        self.source
    }

    pub(crate) fn sha(&'static self) -> &'static str {
        &self.sha
    }
}
